# SPDX-License-Identifier: Apache-2.0
"""Clients: one per outside system, protocol only; bytes in, typed values out, no judgement.

Every client raises `errors.ClientError` with a stable code and nothing else, and no call is without
a deadline. What the values mean is for `health`, what to do about them for `recovery`.
"""
