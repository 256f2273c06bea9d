module gopair

go 1.18
