-- A load of bookings for wrk: parties of one, spread over FLIGHTS flights from FIRST_FLIGHT on.
-- The service must run with RATE_LIMIT_RPS=0.
--   FIRST_FLIGHT=1 FLIGHTS=2200 wrk -t1 -c256 -d10s --latency -s benches/bookings.lua http://localhost:8080
local first = tonumber(os.getenv("FIRST_FLIGHT") or "1")
local flights = tonumber(os.getenv("FLIGHTS") or "1")
local body = '{"flight_id":%d,"user_id":%d,"seats_booked":1,"passenger_details":' ..
  '[{"name":"John Doe","email":"john@example.com","phone":"1234567890","age":30,"gender":"male"}]}'
local requests = {}
local sent = 0

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

-- Written out before the load begins, which then takes less of the processors that it shares.
init = function()
  for n = 1, 22000 do
    -- 7919 is prime, so that neighbours in time are not neighbours in the table.
    local text = string.format(body, first + (n * 7919) % flights, n % 10000 + 1)
    requests[n] = wrk.format(nil, "/api/v1/bookings", nil, text)
  end
end

request = function()
  sent = sent % #requests + 1
  return requests[sent]
end
