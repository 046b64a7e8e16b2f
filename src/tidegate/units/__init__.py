# SPDX-License-Identifier: Apache-2.0
"""Boot order: what systemd would do with this host's unit files, and the drop-ins that hold what must wait.

Pure: a tree of unit files comes in as a value (:class:`~tidegate.units.tree.Tree`), plans and texts go out as values. Reading
and writing them is the work of shells.

==============  ==============================================================================================
``parse``       the text of one unit file, and the words, times and truths its settings are written in
``names``       names of units: types, templates, instances, specifiers, paths as names
``tree``        the search path: main file, drop-ins, aliases, masks, ``.wants`` directories; one unit, merged
``implied``     the dependencies of one unit, with those that systemd adds by itself
``graph``       units ordered and required, and the jobs of a start transaction
``cycles``      orders that contradict themselves, the jobs systemd may sacrifice, and what is lost with them
``show``        graphs and cycles as text and in the language of Graphviz
``deadlock``    who needs whom *ready*, and loops in that
``packaging``   which packaging of Incus and of LINSTOR this is
``host``        all that a plan is made from
``traps``       what is wrong with the units as they are
``dropins``     what each strategy writes
``choice``      which strategy fits, and why
``codes``       the codes of what can be wrong
``plan``        the drop-ins of the choice, and their proof
``render``      texts with their header, differences
``report``      a plan for people and for programs
``lastboot``    when units really started in one boot, and how a journal tells it
``expected``    in which order they should have
``compare``     the one against the other: each inversion with its times, cause and remedy
``checked``     that, for people and for programs
==============  ==============================================================================================
"""
