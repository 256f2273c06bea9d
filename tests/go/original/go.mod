module github.com/dradtke/distchan

go 1.19
