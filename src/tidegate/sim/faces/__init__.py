# SPDX-License-Identifier: Apache-2.0
"""Faces: servers that give the models over the protocols of the systems they stand for, so that real clients can talk to them."""
