# SPDX-License-Identifier: Apache-2.0
"""Faces: servers that speak the peers' real protocols in front of the models, for our real clients.

A face translates and waits, it decides nothing: what an answer is and when it comes is the model's business.
"""
