# Loops that are compiled, guards that fail, exceptions.
import hashlib


def collatz(limit):
    longest = 0
    for start in range(1, limit):
        n, steps = start, 0
        while n != 1:
            n, steps = (n // 2 if n % 2 == 0 else 3 * n + 1), steps + 1
        longest = max(longest, steps)
    return longest


print(collatz(6000))
values = []
for i in range(60000):
    values.append(i * 0.5 if i % 977 == 0 else i)
    if i % 5003 == 0:
        try:
            values[i // 2].missing
        except AttributeError as error:
            values.append(len(str(error)))
print(sum(values), len(values))
data = bytearray(4096)
for r in range(30):
    for i in range(1, 4096):
        data[i] = (data[i - 1] * 31 + i + r) & 255
print(hashlib.sha256(data).hexdigest())
print(sum(eval(f"lambda a: a * {i}")(i) for i in range(100)))
