-- A load of orders of two flights for wrk: parties of one, each on a flight with an odd number and one with an even,
-- of FLIGHTS flights. The service must run with RATE_LIMIT_RPS=0.
--   FLIGHTS=2200 wrk -t1 -c256 -d10s --latency -s benches/orders.lua http://localhost:8080
local pairs_of_flights = tonumber(os.getenv("FLIGHTS") or "2") / 2
local body = '{"user_id":%d,"segments":[{"flight_id":%d},{"flight_id":%d}],"seats_booked":1,"passenger_details":' ..
  '[{"name":"John Doe","email":"john@example.com","phone":"1234567890","age":30,"gender":"male"}]}'
local requests = {}
local sent = 0

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

-- Written out before the load begins, which then takes less of the processors that it shares.
init = function()
  for n = 1, 22000 do
    -- Primes, so that neighbours in time are not neighbours in the table, and most pairs differ.
    local first = 1 + 2 * ((n * 7919) % pairs_of_flights)
    local second = 2 + 2 * ((n * 104729 + math.floor(n / 1100)) % pairs_of_flights)
    local text = string.format(body, n % 10000 + 1, first, second)
    requests[n] = wrk.format(nil, "/api/v1/itineraries", nil, text)
  end
end

request = function()
  sent = sent % #requests + 1
  return requests[sent]
end
