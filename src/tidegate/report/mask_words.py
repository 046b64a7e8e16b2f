# SPDX-License-Identifier: Apache-2.0
"""Words that say nothing about a host: those of the recorded messages of the systems that we know, and everyday English.

Whatever else a message holds may be somebody's name and is masked (``report.masking``). More words make a masked bundle easier to read, and are safe
only if nobody would call a person, a machine or a customer so.
"""

from typing import Final

WORDS: Final = frozenset(
    """\
abort about above acceptable accepted access accounting acr action activate activating activation active additivity address adjusted after
again against alert aligning all allocated allocations allowed almost alone along already also although always am amd among an and anew
another answers any anybody anyone anything apache api apparmor appender application applied apply applychanges applyfullsync apr archival
archive are around arraylist as ask asked assembled assuming asynchronous at attach attaching attempt attempting attribute audit aug
authenticated auto autohttps autoplace autoplacer autoplacersc available avoid away back backing backtrace backups bad barrier base basesink
basic bcache be became because become been before began begin being below better between big bin binding bindtobinder bitmap blkio block
blocked bond boot both bound bounds br break bridge bring broken brokenpipe btrfs bug build burst bus but by bytes cache call called callers
calling came can cannot canonical capacity carrier case cat catalog category cause caused cd cert certificate cest cet cgroup cgroups change
changes changing check checkexitcode checking checkpoint checks checkstate checkstorpool children class classes classic clean cleaning
cleanup client cloned cloneservice cloning close closed cloud clouds code codes collect com come command commands commit common
communication complete completed components concurrent condition conf configuration configurator configurators configure configured
configuring congested conn connect connected connecting connection connections consider consistent console construct constructed consumed
container containers context control controller core coreutils could count counter cp cpu cpuinfo cpuview create created creating
critical cron crtnode crtrsc crtrscdfn crtrscgrp crtsnapshot crtstorpool crtvlmdfn crtvlmgrp crypt cryptography ctl current custom cycle
daemon daily data database dataset datasource day days dbus deactivated debug dec default definition delete deleted deleting deletion
delnode delrsc delrscdfn demote denied dependency deployed deprecated detach detaching details dev device devicemanager devices devmgr
devmgrloop df dhcp dial did different directories directory dirty disabled disconnect disconnecting discovered disk diskful diskless disks
diskstats dispatch dispose dm do dodispatch doerror does doflux doing doinscope domain done down dowork drain drainasync drainfused
drainloop drbd drbdadm drbdoptions drbdtry driver duplicate during dynamic each early ebsstatuspoll either else emergency enable enabled
encoder encryption end enough entries environment environments ephemeral err error errorcontext errorreporter errors especially established
establishing etc eth even events ever every everything exception exceptions exec execute exist exit exitcode exited expected expired
expiring export ext ext4 extcmd extcmdutils extension extensions extent external extproc factory factoryproxy failed failure failures fake
fallback false fanotify far fatal fd feature feb fencing few file filecommands filepool fileprovider files filesystem find findorcreate
fingerprint finished firewall first firstboot five flags flatmapinner flatmapmain flight flush flushing flux fluxarray fluxcreate fluxdefer
fluxerror fluxflatmap fluxinscope fluxmap fluxmerge fluxpeek fluxpublishon fluxusing following for force foreach found four frames free fri
from full fullsync further fuse future futuretask gained gave gb generated get getall getinfolist getinstance getspaceinfo give given
glassfish global gmt gnu go goes going gone good got gracefully graphical group groups guava guestapi guice had half hand handle handler
happen hard hardware has hash have having he held here hierarchies high hold hostname hostnamed hour hours how however html http httphandler
https httpserver hugepage hugetlb hung hwdb id identity idmap if ignored ignoring image images img import imported in inactive incoming
inconsistent incus incusd index infinity info information inheritance inherited init initialized initializing inject injection injectorimpl
innercomplete innererror inode installed instance instancetype instantiate interface interfaces internal into invalid invoke invoked io ip
iptables is it jan jar java javax jax jdbc jdk jersey jks jna job jobs joran journal journald jre jul jun just jvnet kb kbytes keep keeping
kept kernel key keystore kib kill killed kind kmod know known kvm lack lambda lang large last lasted late later layer layers layerstack
ldconfig lease least leave left leftover legacy length less let level lib liblxcfs like limit limits linbit line link linker linstor
linstordb linux list listener listening little ln lo load loadavg loaded loading local lock log logarchive logback logged logger
loggercontext logging logical login logind logs long look lookup loop losetup loss lost low lower ls lservice lsscsi lstctrlprops
lstextfiles lstkvs lstnetif lstnode lstpropsinfo lstremote lstrsc lstrscdfn lstrscgrp lstschedule lststltconfig lststorpool lstvlm lts luks
lut lv lvm lvmthin lxc lxcfs lxcfslib machine made main maintainers make makerscavail man management many mapsubscriber mar marked match
matching max maxattempts may mb md me mean measured meminfo memory message met meta metadata method methods metrics mib might migrations
milliseconds min minor minute minutes missing mnt mode model modified modnode modprobe modrscdfn modularcrypto module modules mon monitor
mono monocallable monocollect monoerror monojust mononext monousing more most mount mounted mounting mounts ms msg much multi multiple must
mv my name named namespace native near need negotiating net netcom netcomservice network networkd networks never new newinstance next
nftables nic night nio no nobody node nodereconnect nodes nodestats nodeuname none nor normal not note nothing notice notify notifyaccess
nov now null number numericcode nvme object objects observed occurred oct odd of off offline often ok okhttp old omitted on once oncomplete
one onerror online only onnext onsubscribe oom oops open opened operating operation operational operator operators or order ordering org
original os other our out outdated output over own panic part partition password past path payload pcr pcrphase peak peer pending people
percent permit persistent phy physical pid pidfds pidns pids pinglist pinning pipe place plain platform please pm point pool pools port
ports power pre preauth preparation prepare preparelayers previously primary problem proc process processes processing processor processors
production profile program progress project promote promotion properties property props proto protobuf protocolerror provided provider
providers provision provisioning proxy pruning pstore ptl public publickey publisher put pv qemu qos qrymaxvlmsize quorum quota raid ran
random rate rather rc reach reached reactor read readallbytes readonly ready real really rebuild received reconnect reconnecting
reconnectlist reconnectnode recovery recv referenced reflect refused registering release reload remote remount remounted remove removed
renewed replay replication report reported reporting reports request requesthelper requests requestscope res reserved resized resolved
resource resourcegroup response rest restart restarted restclient restricted result resume resync retry retrytask returned right rm ro role
root route rpc rscdfnstats rscgrpstats rscstats rsyslog run runasync runinscope running runtime runworker rw safe said same sat satellite
save saw say sbin scan scheduled scheduler scope scoperunner score seat seccomp second secondary seconds secret sector security see seem
seen segfault selected self selinux send sending sent sep server serverruntime service services session sessions set setting settings setup
several shall share shared she should show shut shutdown shutting side sigkill signal since site six size sizes skipped skipping slabinfo
slice slots slow slowconsole slowpath small snapshot snapshots so socat sock socket sockets some something soon source space spaceinfo
spaces spacetracking spawn spawnrscdfn spdk spent sql srv ssh sshd ssl sslconnector stack stage standalone standard start started starting
startup stat state stateful states static stats status stdout still stop stopped stopping stor storage storagelayer storpoolname
storpoolstats stream stripe stripes stub subscribe subscribewith substituted subsystem successful successfully such superblock support
supported supports suppressed sure suspended swap swaps symlink symlinks sync synced syncprocess sys sysctl sysext sysinit system systemctl
systemd systems sysusers tainted take taken target task tcp teardown tell temporary ten terminally terminating test tests than that the
their them then there these they thick thin thing think this those though thread threadpool three through thu thus tiebreaker till time
timed timeout timer timers times timestamp timesyncd tls tmpfiles tmpnode to today together told toml too took tool tools total toward tpm
trace trampoline transient transport tried tries trigger true try tryemitnext trying tue turn tv two type types udev udevadm udp uki unable
unacked unconnected undeployed under uninitialize unit units unix unixexception unknown unless unmerged unmet unmounted unnamed unparsable
unreachable unsafe unsupported until up update updated updating upon upper uptime uptodate url us usable use used user users using usr utc
util utils uuid value var variables variant verbose verify version very veth vg via view virtual vlan vm vol volume volumes voter wadl
wadlfeature wait waitfor waiting waits want wanted wants warn warning warnings was watched way we wed week well went were what when where
whether which while whitelisted who whole whom whose why will with within without word words work worker workertask would write writecache
writeerr writes writing written xfs xml yaml yes yet you your zfs zpool zstd zvol abrt dumped
idmapped segv sigkill sigterm
""".split()  # noqa: SIM905  read as a page of words
)
