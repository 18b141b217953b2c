# Starts 200 programs that do nothing, from the directory $1.
i=0
while [ $i -lt 200 ]; do
    "$1/true" || exit 1
    i=$((i + 1))
done
