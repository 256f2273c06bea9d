cpdef running_task()
cpdef task_of(loop, unsigned long thread)
