-- Traces, side exits, and the foreign function interface.
local bit, ffi = require("bit"), require("ffi")
local s = 0
for i = 1, 3e6 do s = bit.bxor(bit.tobit(s * 31 + i), bit.rshift(i, 3)) end
print(s)
local t = {}
for i = 1, 20000 do t[i] = (i * 7919) % 10007 end
table.sort(t)
print(t[1], t[10000], t[20000])
local function mixed(i) if i % 1000 == 0 then return tostring(i) elseif i % 3 == 0 then return i * 0.5 end return i end
local sum, texts = 0, 0
for i = 1, 300000 do local v = mixed(i); if type(v) == "string" then texts = texts + #v else sum = sum + v end end
print(sum, texts)
ffi.cdef "int abs(int); int snprintf(char *, size_t, const char *, ...);"
local n = 0
for i = -100000, 0 do n = n + ffi.C.abs(i) end
local text = ffi.new("char[32]")
ffi.C.snprintf(text, 32, "%d %.3f", ffi.cast("int", 42), 1.5)
print(n, ffi.string(text))
for i = 1, 200 do n = n + loadstring("return function(a) return a * " .. i .. " end")()(i) end
print(n)
