set pagination off
set confirm off
set can-use-hw-watchpoints 0
break add
continue
info args
backtrace
step
step
info locals
stepi
stepi
stepi
info registers pc x0 x1 x3 x30 cpsr fpcr
x/4i $pc
continue
finish
delete
watch watched
continue
continue
delete
break add if a > 4
continue
info args
set var a = 100
delete
continue
