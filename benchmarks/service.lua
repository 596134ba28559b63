-- wrk's script: each request searches with another picture, and its answer is written down as
-- "status microseconds right", to be summed up by service.py.
-- wrk … -- PATH FOLDER SLOTS MILLISECONDS: FOLDER has the bodies, 0 to SLOTS - 1; a pause of so many
-- milliseconds on average goes before each request.
local ffi = require("ffi")
ffi.cdef [[
typedef struct { long seconds, microseconds; } moment;
int gettimeofday(moment *now, void *zone);
]]

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local function microseconds()
  local now = ffi.new("moment")
  ffi.C.gettimeofday(now, nil)
  return tonumber(now.seconds) * 1000000 + tonumber(now.microseconds)
end

local bodies, path, turn, log = {}, nil, 0, nil

function init(arguments)
  local folder, slots, pause = arguments[2], tonumber(arguments[3]), tonumber(arguments[4])
  path = arguments[1]
  for slot = 0, slots - 1 do
    local file = assert(io.open(folder .. "/" .. slot, "rb"))
    bodies[slot] = file:read("*a")
    file:close()
  end
  turn = 7 * number
  log = assert(io.open(folder .. "/log." .. number, "w"))
  if pause > 0 then
    math.randomseed(number + 1)
    function delay()
      return math.random(0, 2 * pause)
    end
  end
end

function request()
  turn = turn + 1
  return wrk.format("POST", path, {
    ["Content-Type"] = "multipart/form-data; boundary=lookalike",
    ["X-Request-Id"] = string.format("%.0f", microseconds()),
  }, bodies[turn % (#bodies + 1)])
end

function response(status, headers, body)
  local taken = microseconds() - tonumber(headers["x-request-id"])
  local right = status == 200 and body:find('"hits":[{', 1, true) and 1 or 0
  log:write(status, " ", taken, " ", right, "\n")
end
