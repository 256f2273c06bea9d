module distchan.test/peer

go 1.19
