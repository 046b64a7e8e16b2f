# SPDX-License-Identifier: Apache-2.0
"""Sources that tell when something happens: each listener wakes looks and carries no facts, the truth is read again after it.

Without any of them everything still works, at the pace of polling. What our own looks cause must never wake: it would go on for ever.
"""
