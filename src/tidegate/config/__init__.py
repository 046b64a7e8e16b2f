# SPDX-License-Identifier: Apache-2.0
"""What an operator may set: TOML file and drop-ins, environment, options; and sensible defaults found from the host.

``policy``       the numbers and choices that decisions use, with their defaults
``model``        the whole configuration as frozen values
``values``       what each key may hold, taken from the model's types
``environment``  names of variables, and the text of an ``EnvironmentFile=``
``controllers``  addresses of LINSTOR controllers as people write them -> URLs
``load``         text of files + environment + options -> configuration, or errors that name file, key and what is allowed
``discover``     what Incus and the LINSTOR clients of this host already know -> controllers, certificates, node name
"""
