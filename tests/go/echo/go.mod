module distchan.test/echo

go 1.19
