# SPDX-License-Identifier: Apache-2.0
"""The simulator: models of LINSTOR, DRBD, devices and Incus on a virtual clock, and faces that speak their protocols.

The models do no I/O and read no clock: :mod:`tidegate.sim.clock` carries time, a seed carries chance, and a scenario says which
faults happen when. The same models stand behind the tests of every decision, ``tidegate demo`` (through the HTTP faces in
:mod:`tidegate.sim.faces`, with the real agent as their client) and the boot lab (LINSTOR's face beside a real Incus).
"""
