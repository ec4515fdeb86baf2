-- A load of bookings for wrk: parties of one, spread over FLIGHTS flights from FIRST_FLIGHT on.
-- The service must run with RATE_LIMIT_RPS=0.
--   FIRST_FLIGHT=1 FLIGHTS=2200 wrk -t1 -c256 -d10s --latency -s benches/bookings.lua http://localhost:8080
local first = tonumber(os.getenv("FIRST_FLIGHT") or "1")
local flights = tonumber(os.getenv("FLIGHTS") or "1")
local body = '{"flight_id":%d,"user_id":%d,"seats_booked":1,"passenger_details":' ..
  '[{"name":"John Doe","email":"john@example.com","phone":"1234567890","age":30,"gender":"male"}]}'
local sent = 0

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

request = function()
  sent = sent + 1
  -- 7919 is prime, so that neighbours in time are not neighbours in the table.
  local flight = first + (sent * 7919) % flights
  return wrk.format(nil, "/api/v1/bookings", nil, string.format(body, flight, sent % 10000 + 1))
end
