cpdef running_task()
cpdef task_of(loop, unsigned long thread)
cpdef bint runs_in(unsigned long thread)
cpdef act(loop, stand_in)
