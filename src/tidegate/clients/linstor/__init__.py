# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR REST client: protocol only, no judgement of what the answers mean.

`endpoints` (pure) reads controller lists, `wire` names the parts of LINSTOR's answers that we use,
`answers` (pure) turns an HTTP answer into a value or a `Trouble`, `sse` (pure) parses event streams,
`tls` builds the context, `failover` picks the controller that answers, `client` has the calls.

Codes of trouble: controller.none-configured, .bad-address, .refused, .unreachable, .timeout-connect,
.timeout, .tls, .disconnected, .garbage, .unauthorized, .redirected, .not-linstor, .not-found, .error,
.lost-satellite.
"""
