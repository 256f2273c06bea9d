module distchan.test/vectors

go 1.19
