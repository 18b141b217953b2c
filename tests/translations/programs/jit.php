<?php
function mix($rounds) { $a = array_fill(0, 1000, 1); for ($r = 0; $r < $rounds; $r++) for ($i = 1; $i < 1000; $i++) $a[$i] = ($a[$i - 1] * 31 + $i + $r) % 65521; return $a[999]; }
echo mix(200), "\n";
function fib($n) { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); }
echo fib(22), " ", opcache_get_status(false)["jit"]["on"] ? "compiled" : "interpreted", "\n";
echo preg_replace_callback('/(\w)(\d+)/', fn($m) => $m[2] . $m[1], str_repeat("a1b22c333 ", 50)), "\n";
