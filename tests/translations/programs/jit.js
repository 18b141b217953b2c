// Functions that get hot, are optimized, and lose their assumptions again.
const crypto = require('crypto');
const sum = a => { let s = 0; for (let i = 0; i < a.length; i++) s = s + a[i]; return s; };
const numbers = Array.from({ length: 1000 }, (_, i) => i);
let total = 0;
for (let i = 0; i < 3000; i++) total += sum(numbers);
console.log(total, sum(numbers.map(n => n + 0.5)), sum(numbers.map(String)).length);
const memory = new Int32Array(4096);
for (let r = 0; r < 200; r++) for (let i = 1; i < 4096; i++) memory[i] = (memory[i - 1] * 31 + i + r) | 0;
console.log(crypto.createHash('sha256').update(Buffer.from(memory.buffer)).digest('hex'));
const wasm = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3,
  97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]);
const { add } = new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports;
let n = 0;
for (let i = 0; i < 200000; i++) n = add(n, i);
console.log(n, 'abc1x22yz333'.repeat(200).replace(/([a-z]+)(\d+)/g, '$2$1').slice(-30));
try { (function deep(i) { return deep(i + 1) + 1; })(0); } catch (e) { console.log(e instanceof RangeError); }
for (let i = 0; i < 300; i++) n += new Function('a', `return a * ${i} + ${i * i}`)(i);
console.log(n);
