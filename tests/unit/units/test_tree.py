"""One unit merged from many files: who wins, what is reset, what is masked."""

from tidegate.units.tree import File, Index, Link, Load, Tree

ETC, RUN, LIB = "/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"
PLAIN = "[Service]\nExecStart=/bin/true\n"


def index(**files: str) -> Index:
    """Files by path; ``-> x`` is a link."""
    return Index(
        Tree(
            entries={
                path: Link(text.removeprefix("-> ")) if text.startswith("-> ") else File(text)
                for path, text in files.items()
            }
        )
    )


def test_the_first_directory_wins_the_main_file() -> None:
    found = index(**{f"{LIB}/a.service": PLAIN, f"{ETC}/a.service": PLAIN}).unit("a.service")
    assert (found.load, found.path) == (Load.LOADED, f"{ETC}/a.service")


def test_drop_ins_count_by_name_over_all_directories_and_the_first_of_equal_names_wins() -> None:
    found = index(
        **{
            f"{LIB}/a.service": PLAIN,
            f"{LIB}/a.service.d/20-x.conf": "[Service]\nType=simple\n",
            f"{ETC}/a.service.d/10-x.conf": "[Service]\nType=oneshot\n",
            f"{RUN}/a.service.d/20-x.conf": "[Service]\nType=notify\n",
            f"{ETC}/a.service.d/README": "[Service]\nType=idle\n",
        }
    ).unit("a.service")
    assert found.drop_ins == (f"{ETC}/a.service.d/10-x.conf", f"{RUN}/a.service.d/20-x.conf")
    assert found.value("Service", "Type") == "notify"


def test_a_drop_in_is_masked_by_a_link_to_nothing() -> None:
    found = index(
        **{
            f"{LIB}/a.service": PLAIN,
            f"{LIB}/a.service.d/x.conf": "[Service]\nType=notify\n",
            f"{ETC}/a.service.d/x.conf": "-> /dev/null",
        }
    ).unit("a.service")
    assert found.drop_ins == ()


def test_empty_resets_lists_of_commands_and_never_dependencies() -> None:
    found = index(
        **{
            f"{LIB}/a.service": f"[Unit]\nAfter=b.service\n{PLAIN}",
            f"{ETC}/a.service.d/x.conf": "[Unit]\nAfter=\nAfter=c.service\n[Service]\nExecStart=\nExecStart=/bin/false\n",
        }
    ).unit("a.service")
    assert [word for word, _ in found.listed("Unit", "After")] == ["b.service", "c.service"]
    assert [setting.value for setting in found.assignments("Service", "ExecStart")] == [
        "/bin/false"
    ]


def test_two_commands_in_a_simple_service_are_refused_with_the_way_out() -> None:
    found = index(
        **{
            f"{LIB}/a.service": PLAIN,
            f"{ETC}/a.service.d/x.conf": "[Service]\nExecStart=/bin/false\n",
        }
    ).unit("a.service")
    assert found.load is Load.BAD
    assert "reset it first" in found.complaint


def test_masked_and_missing() -> None:
    found = index(
        **{f"{LIB}/a.service": PLAIN, f"{ETC}/a.service": "-> /dev/null", f"{ETC}/b.service": ""}
    )
    assert found.unit("a.service").load is Load.MASKED
    assert found.unit("b.service").load is Load.MASKED
    assert found.unit("c.service").load is Load.NOT_FOUND
    assert found.unit("system.slice").load is Load.LOADED


def test_an_alias_is_the_unit_and_brings_its_drop_ins() -> None:
    found = index(
        **{
            f"{LIB}/real.service": PLAIN,
            f"{ETC}/other.service": f"-> {LIB}/real.service",
            f"{ETC}/other.service.d/x.conf": "[Unit]\nAfter=b.service\n",
        }
    )
    assert found.canonical("other.service") == "real.service"
    assert found.unit("other.service").name == "real.service"
    assert found.unit("real.service").aliases == ("other.service",)
    assert found.unit("real.service").drop_ins == (f"{ETC}/other.service.d/x.conf",)


def test_a_link_out_of_the_search_path_is_read_where_it_leads() -> None:
    found = index(**{f"{ETC}/a.service": "-> /opt/x/a.service", "/opt/x/a.service": PLAIN}).unit(
        "a.service"
    )
    assert (found.load, found.path) == (Load.LOADED, "/opt/x/a.service")


def test_a_link_that_leads_nowhere_or_round_is_no_unit() -> None:
    found = index(
        **{
            f"{ETC}/a.service": "-> /opt/gone",
            f"{ETC}/b.service": "-> c.service",
            f"{ETC}/c.service": "-> b.service",
        }
    )
    assert found.unit("a.service").load is Load.NOT_FOUND
    assert found.unit("b.service").load is Load.NOT_FOUND


def test_an_instance_has_the_templates_file_and_both_drop_ins() -> None:
    found = index(
        **{
            f"{LIB}/t@.service": f"[Unit]\nAfter=%i.target\n{PLAIN}",
            f"{ETC}/t@.service.d/a.conf": "[Unit]\nAfter=a.target\n",
            f"{ETC}/t@x.service.d/b.conf": "[Unit]\nAfter=b.target\n",
        }
    ).unit("t@x.service")
    assert found.name == "t@x.service"
    assert [word for word, _ in found.listed("Unit", "After")] == [
        "x.target",
        "a.target",
        "b.target",
    ]


def test_names_in_directories_pull_in() -> None:
    found = index(
        **{
            f"{LIB}/m.target": "[Unit]\n",
            f"{ETC}/m.target.wants/a.service": "-> ../a.service",
            f"{LIB}/m.target.wants/a.service": "-> ../a.service",
            f"{LIB}/m.target.wants/b.service": "-> /dev/null",
            f"{LIB}/m.target.requires/c.service": "-> ../c.service",
            f"{ETC}/gone.service.wants/a.service": "-> ../a.service",
        }
    )
    pulls = [(pull.key, pull.other, pull.path) for pull in found.unit("m.target").pulls]
    assert pulls == [
        ("Wants", "a.service", f"{ETC}/m.target.wants/a.service"),
        ("Requires", "c.service", f"{LIB}/m.target.requires/c.service"),
    ]
    assert ("gone.service", f"{ETC}/gone.service.wants/a.service") in found.pulled_in_by(
        "a.service"
    )
