-- What wrk sends: a POST for each line of the file CODES, each line once, or GETs of one address.
-- In the end one line of JSON: requests, seconds, errors, and a thousand latencies in ms, evenly spread over all of them.
local ffi = require("ffi")
ffi.cdef [[ typedef struct { long seconds; long micros; } moment; int gettimeofday(moment *now, void *zone); ]]
local function now()
  local at = ffi.new("moment")
  ffi.C.gettimeofday(at, nil)
  return tonumber(at.seconds) + tonumber(at.micros) / 1e6
end

local codes, place, gets = {}, 0, os.getenv("GET")
began, ended, answered = nil, nil, 0
local threads = {}

function setup(thread) table.insert(threads, thread) end

function init()
  wrk.headers["Authorization"] = "Bearer " .. os.getenv("KEY")
  if not gets then
    wrk.method, wrk.body = "POST", '{"reference":"benchmark"}'
    wrk.headers["Content-Type"] = "application/json"
    for code in io.lines(os.getenv("CODES")) do table.insert(codes, code) end
  end
end

function request()
  began = began or now()
  if gets then return wrk.format(nil, gets) end
  place = place + 1
  if place > #codes then return wrk.format("GET", "/readyz", {}, "") end
  return wrk.format(nil, "/customers/credits/" .. codes[place] .. "/redeem")
end

function response()
  answered = answered + 1
  if not gets and answered >= #codes and not ended then
    ended = now()
    wrk.thread:stop()
  end
end

function done(summary, latency)
  local one, spread = threads[1], {}
  local first, last = one:get("began"), one:get("ended")
  local seconds = last and last - first or summary.duration / 1e6
  for n = 0, 999 do spread[n + 1] = string.format("%.3f", latency:percentile((n + 0.5) / 10) / 1000) end
  local errors = summary.errors
  io.write(string.format('\n{"n": %d, "seconds": %.4f, "errors": %d, "latencies_ms": [%s]}\n',
    one:get("answered"), seconds,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, table.concat(spread, ",")))
end
