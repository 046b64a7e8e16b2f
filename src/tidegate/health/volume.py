# SPDX-License-Identifier: Apache-2.0
"""Volumes: placed here, reported, proven by their device, and usable by the rule against split brain.

The kernel's word about DRBD wins over LINSTOR's; LINSTOR's is used where the kernel cannot be asked. With the controller gone
a DRBD volume can be ready on local truth alone, and is degraded.
"""

from typing import Final

from tidegate.core import ids
from tidegate.core.drbd import DrbdDevice
from tidegate.core.facts import DefinitionFacts, PlacedVolume, PlacementFacts
from tidegate.core.finding import Finding
from tidegate.core.ids import NodeName, Subject, VolumeId
from tidegate.core.snapshot import Liveness, Source
from tidegate.health import catalogue, device, mapping, replica, usable
from tidegate.health.opinion import Doubt, Opinion
from tidegate.health.view import Belief, View
from tidegate.health.wants import Wants

SELDOM: Final = 7.0
"""Times ``stale_after`` for which LINSTOR's word on a placement is believed where DRBD is connected to every peer: longer than it takes
to read all in turn (``probes.linstor.IN_TURN`` looks). What LINSTOR does to such a resource meanwhile, the kernel tells."""
MAP_FILE: Final = "/var/lib/tidegate/wanted.json"


def judge(view: View, wants: Wants) -> list[Opinion]:
    """Return an opinion on every volume that an instance of this node needs."""
    found = [
        _Volume(view, volume, wanted=wanted).opinion() for volume, wanted in wants.volumes.items()
    ]
    found += [_stand_in(view, miss, wanted) for miss, wanted in wants.missing.values()]
    return found


def _stand_in(view: View, miss: mapping.Missing, wanted: bool) -> Opinion:
    """Speak of a needed volume whose resource was not found."""
    subject = ids.volume(miss.stand_in)
    what = f"{miss.needed.type}/{miss.needed.name} of pool {miss.needed.pool}"
    code, observed, waiting = {
        mapping.Miss.NOT_FOUND: ("volume.not-found", f"LINSTOR has no resource for {what}", False),
        mapping.Miss.AMBIGUOUS: (
            "volume.ambiguous",
            f"LINSTOR has several resources for {what}: {', '.join(miss.found)}",
            False,
        ),
        mapping.Miss.NOT_KNOWN: (
            "volume.not-known",
            f"LINSTOR could not be asked for {what}",
            True,
        ),
    }[miss.miss]
    finding = catalogue.finding(
        code,
        subject,
        observed,
        source=Source.LINSTOR,
        age=view.age(view.snapshot.definitions),
        waiting=waiting,
        context={"name": miss.name, "type": miss.needed.type, "group": miss.group},
    )
    return Opinion(subject=subject, findings=(finding,), rests_on=(ids.SATELLITE,), wanted=wanted)


class _Volume:
    """One volume under judgement."""

    def __init__(self, view: View, volume: VolumeId, *, wanted: bool) -> None:
        self.view = view
        self.id = volume
        self.wanted = wanted
        self.subject: Subject = ids.volume(volume)
        self.fact = view.snapshot.placements.get(volume.resource)
        self.here = view.placed_here(volume.resource)
        self.findings: list[Finding] = []

    def opinion(self) -> Opinion:
        """Judge it."""
        if self.view.linstor_gone:
            self._on_local_truth()
        else:
            self._with_controller()
        pool = self.here.storage_pool if self.here is not None else None
        rests_on = (ids.SATELLITE,) if pool is None else (ids.SATELLITE, ids.storage_pool(pool))
        return Opinion(
            subject=self.subject,
            findings=tuple(self.findings),
            rests_on=rests_on,
            wanted=self.wanted,
            good="opens, and is usable",
        )

    # --- with a controller -------------------------------------------------------------------

    def _with_controller(self) -> None:
        belief = self.view.belief(self.fact, Source.LINSTOR)
        if belief is Belief.STALE and self._kernel_knows():
            belief = Belief.FRESH
        if belief is not Belief.FRESH or self.fact is None:
            self._not_known(belief)
        elif self.here is None:
            self._not_placed(self.fact.value)
        elif replica.GOING & set(self.here.flags):
            self._add(Doubt(code="volume.gone", observed="LINSTOR is deleting it on this node"))
        elif "INACTIVE" in self.here.flags:
            self._add(Doubt(code="volume.inactive", observed="deactivated on this node"))
        else:
            self._placed(self.here)

    def _kernel_knows(self) -> bool:
        """Return True when LINSTOR's word, if it is not very old, adds nothing to the kernel's: it is read seldom at rest then."""
        resource = (self.view.drbd or {}).get(self.id.resource)
        limit = SELDOM * self.view.policy.stale_after
        return resource is not None and resource.knows_all and self.view.age(self.fact) <= limit

    def _not_known(self, belief: Belief) -> None:
        resource = self.id.resource
        if (
            belief is Belief.ABSENT
            and self.view.definitions_fresh
            and resource not in self.view.definitions
        ):
            self._add(Doubt(code="volume.gone", observed=f"LINSTOR has no resource {resource}"))
        elif belief is Belief.STALE:
            self._stale(Source.LINSTOR, self.view.age(self.fact), "LINSTOR's word about it")
        else:
            self._add(
                Doubt(
                    code="volume.not-known",
                    observed="LINSTOR has not been asked about it yet",
                    waiting=True,
                )
            )

    def _not_placed(self, places: tuple[PlacementFacts, ...]) -> None:
        """Incus has LINSTOR make a diskless replica when it starts the instance, if the data are good elsewhere."""
        for place in places:
            if place.in_use:
                self._add(_in_use_on(place.node))
        if not any(place.has_drbd for place in places):
            nodes = ", ".join(place.node for place in places)
            self._add(Doubt(code="volume.elsewhere", observed=f"without DRBD, and only on {nodes}"))
            return
        has_good = any(
            place.state_reported and (place.promotion_score or 0) >= usable.GOOD_SCORE
            for place in places
        )
        if has_good:
            self._add(Doubt(code="volume.not-placed", observed=f"no replica on {self.view.node}"))
            return
        self._add(
            Doubt(
                code="volume.not-known",
                observed=f"no replica on {self.view.node}, and no node has reported good data",
                waiting=self.view.is_coming_up,
            )
        )

    def _placed(self, here: PlacementFacts) -> None:
        placed = next((v for v in here.volumes if v.number == self.id.number), None)
        if placed is None:
            self._add(
                Doubt(
                    code="volume.gone",
                    observed=f"the resource has no volume number {self.id.number}",
                )
            )
            return
        coming_up = self.view.is_coming_up
        if not here.state_reported:
            self._add(
                Doubt(
                    code="volume.not-reported",
                    observed="the satellite has not reported it since it connected",
                    since=self.fact.since if self.fact else None,
                    waiting=coming_up,
                )
            )
        if placed.device_path is None:
            self._add(
                Doubt(
                    code="volume.path-missing",
                    observed="LINSTOR gives no device path",
                    since=self.fact.since if self.fact else None,
                    waiting=coming_up,
                )
            )
        if self._is_locked(here):
            self._add(
                Doubt(
                    code="volume.passphrase-missing",
                    observed="it is encrypted, and the master passphrase was not entered",
                )
            )
        if here.skip_disk:
            self._add(Doubt(code="volume.skip-disk", observed="DrbdOptions/SkipDisk is set"))
        # A resource that DRBD in the kernel has is DRBD's, whatever LINSTOR says.
        is_drbd = here.has_drbd or self.id.resource in (self.view.drbd or {})
        kernel = self._usable(here) if is_drbd else None
        self._device(placed, kernel)

    def _is_locked(self, here: PlacementFacts) -> bool:
        """Return True when LINSTOR, or the satellite's own lines, say that the passphrase is missing (facts/linstor.md 2.5)."""
        if "LUKS" not in here.layers:
            return False
        controller = self.view.snapshot.controller
        said = controller.value.passphrase if controller is not None else None
        if said is not None:
            return said == "locked"
        return not here.state_reported and self.id.resource in self.view.journal.satellite.locked

    # --- without -----------------------------------------------------------------------------

    def _on_local_truth(self) -> None:
        """The controller is gone: the kernel and the device have to do (docs/architecture.md)."""
        resource = (self.view.drbd or {}).get(self.id.resource)
        kernel = replica.device_of(resource, self.id.number)
        plain = self.here is not None and not self.here.has_drbd and resource is None
        if self.view.drbd is None or plain:
            self._add(
                Doubt(
                    code="volume.not-known",
                    observed="no controller can be asked, and the kernel does not know it",
                    waiting=True,
                )
            )
            return
        if resource is None or kernel is None:
            self._add(self._down())
            return
        self._judge_use(
            replica.from_kernel(self.view, self.id, resource, kernel), Source.DRBD, self._drbd_age()
        )
        self._device(None, kernel)
        self._add(Doubt(code="volume.on-local-truth", observed="no controller confirms it"))

    # --- usable ------------------------------------------------------------------------------

    def _usable(self, here: PlacementFacts) -> DrbdDevice | None:
        """Apply the rule, on the kernel's word if it can be asked; return the kernel's device."""
        drbd = self.view.drbd
        if drbd is None:
            self._usable_over_rest(here)
            return None
        resource = drbd.get(self.id.resource)
        kernel = replica.device_of(resource, self.id.number)
        if resource is None or kernel is None:
            self._add(self._down(), Source.DRBD)
            return None
        self._judge_use(
            replica.from_kernel(self.view, self.id, resource, kernel), Source.DRBD, self._drbd_age()
        )
        return kernel

    def _usable_over_rest(self, here: PlacementFacts) -> None:
        liveness = self.view.liveness(Source.DRBD)
        if liveness in {Liveness.NEW, Liveness.STARTING}:
            self._add(
                Doubt(
                    code="source.new",
                    observed="DRBD in the kernel has not been asked yet",
                    waiting=True,
                ),
                Source.DRBD,
            )
        elif here.state_reported and self.fact is not None:
            told = replica.from_linstor(self.view, self.id, here)
            self._judge_use(told, Source.LINSTOR, self.view.age(self.fact))

    def _down(self) -> Doubt:
        return Doubt(
            code="volume.down",
            observed="DRBD in the kernel does not have it",
            since=self.view.snapshot.drbd.since if self.view.snapshot.drbd else None,
            waiting=self.view.is_coming_up,
        )

    def _judge_use(self, local: usable.Replica, source: Source, age: float) -> None:
        for doubt in usable.judge(local, self.view.policy, self.view.now):
            self._add(doubt, source, age)

    def _drbd_age(self) -> float:
        return self.view.age(self.view.snapshot.drbd)

    # --- device ------------------------------------------------------------------------------

    def _device(self, placed: PlacedVolume | None, kernel: DrbdDevice | None) -> None:
        fact = self.view.snapshot.devices.get(str(self.id))
        belief = self.view.belief(fact, Source.DEVICES)
        if belief is Belief.STALE:
            self._stale(Source.DEVICES, self.view.age(fact), "the look at its device")
            return
        if fact is None or belief is not Belief.FRESH:
            self._add(
                Doubt(
                    code="device.not-looked",
                    observed="nobody has looked at its device",
                    waiting=self.view.is_coming_up,
                ),
                Source.DEVICES,
            )
            return
        remembered = self.view.remembered.get(self.id)
        definition = self.view.definitions.get(self.id.resource)
        expected = device.Expected(
            volume=self.id,
            path=placed.device_path if placed is not None else None,
            is_drbd=self.here is None or self.here.layers[:1] == ("DRBD",),
            kernel_minor=kernel.minor if kernel is not None else None,
            linstor_minor=placed.minor if placed is not None else None,
            backing=placed.backing_device if placed is not None else None,
            content=remembered.content if remembered is not None else None,
            is_filesystem=definition is not None and _is_filesystem(definition, self.id),
        )
        for doubt in device.judge(
            fact.value,
            expected,
            coming_up=self.view.is_coming_up,
            lasts=self.view.lasts(fact.since),
            since=fact.since,
        ):
            self._add(doubt, Source.DEVICES, self.view.age(fact), path=fact.value.path)

    # --- findings ----------------------------------------------------------------------------

    def _stale(self, source: Source, age: float, what: str) -> None:
        self._add(
            Doubt(
                code="source.stale",
                observed=f"{what} is {age:.0f} s old",
                context={"limit": f"{self.view.policy.stale_after:.0f}"},
            ),
            source,
            age,
        )

    def _add(
        self,
        doubt: Doubt,
        source: Source = Source.LINSTOR,
        age: float | None = None,
        **more: str,
    ) -> None:
        if age is None:
            age = self.view.age(self.fact) if source is Source.LINSTOR else 0.0
        context = {
            "resource": self.id.resource,
            "volume": str(self.id.number),
            "node": self.view.node,
            "pool": (self.here.storage_pool or "…") if self.here is not None else "…",
            "map": MAP_FILE,
        }
        self.findings.append(doubt.finding(self.subject, source, age, context | more))


def _is_filesystem(definition: DefinitionFacts, volume: VolumeId) -> bool:
    """Return True when Incus keeps a file system on it; a virtual machine's second volume is its configuration's (facts/incus.md L54)."""
    is_config = definition.aux_type == "virtual-machines" and volume.number == 1
    return is_config or definition.aux_content == "filesystem"


def _in_use_on(node: NodeName) -> Doubt:
    return Doubt(
        code="volume.peer-primary",
        observed=f"{node} is Primary: the volume is in use there",
        context={"peer": node},
    )
