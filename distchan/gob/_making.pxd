cpdef object make(object cls, list values, list template)
