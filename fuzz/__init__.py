"""Hostile input: what a peer could send is made up, and the invariants are watched.

``python -m fuzz --help`` says how it is run, docs/security.md what holds for whatever comes in.
``targets`` has the parts of the library that bytes from peers reach, a module for each:

- ``seeds()`` makes the inputs to begin with, from valid encodings;
- ``run(data)`` does with an input what the library would do, checks what must hold, and returns
  what came out of it, in a form in which the two backends can be compared.

Whatever ``run`` raises is a finding.
"""
