# SPDX-License-Identifier: Apache-2.0
"""Findings as text for people and as JSON for programs: every surface shows the same findings.

``terminal``  colour, width, tables, text that came from outside made harmless
``status``    one screen: every layer, every subject that is not ok, what each waits for
``chain``     the chain of findings of one subject down to the first cause, and the remedy
``document``  the same as plain values, ready to be written as JSON
"""
