cpdef object running_task()
