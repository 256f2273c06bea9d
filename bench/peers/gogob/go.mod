module gogob

go 1.18
