# SPDX-License-Identifier: MIT
"""The keys of memcached's statistics, for programs that read them: none is missing but those that mean nothing here, and
memcached_exporter for Prometheus finds in them what it looks for, once."""

import collections
import re
import shutil

import forebay
import pytest
from forebay import Config, Memcached, Server, namespace

OPTIONS = ["-o", "no_lru_crawler,no_lru_maintainer"]

# What memcached has of slab pages, of LRU segments, of its crawler, of extstore and TLS (docs/compatibility.md). Each is there
# in 1.6.18 or in 1.6.45; the rest of a version's keys is asked for.
ABSENT = {
    "": "slab_reassign_evictions_nomem",  # of 1.6.18; later ones have slab_reassign_busy_nomem in its place
    "items": "N:age N:evicted_nonzero N:evicted_time",
    "slabs": "N:chunk_size N:chunks_per_page N:total_chunks N:free_chunks N:free_chunks_end",
    "settings": """oldest growth_factor chunk_size num_threads_per_udp hashpower_init slab_reassign slab_automove
        slab_automove_ratio slab_automove_window slab_automove_freeratio slab_chunk_max lru_crawler_sleep lru_crawler_tocrawl
        tail_repair_time lru_maintainer_thread lru_segmented hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor temp_lru
        temporary_ttl worker_logbuf_size inline_ascii_response ext_item_size ext_item_age ext_low_ttl ext_recache_rate
        ext_wbuf_size ext_compact_under ext_drop_under ext_drop_unread ext_max_sleep ext_max_frag num_napi_ids memory_file
        ssl_enabled ssl_chain_cert ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers ssl_ca_cert ssl_wbuf_size
        ssl_session_cache ssl_kernel_tls ssl_min_version""",
    "conns": "",
}
# What only Forebay has, and what memcached got after 1.6.18, Debian's.
OWN = {"settings": "restrict config_file data node sync_timeout_ms drain_timeout_ms request_memory"}
NEWER = {"": "slab_reassign_busy_nomem slab_reassign_last_busy_status", "settings": "client_flags_size"}
SECTIONS = list(ABSENT)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """{program: {section: keys}} after the same requests; the number of a class or a connection is N."""
    if not shutil.which("memcached") and not Memcached.program():
        pytest.skip("memcached is not here (Debian: memcached)")
    found = {}
    for kind in (Server, Memcached):
        with kind(tmp_path_factory.mktemp(kind.what), options=OPTIONS).start() as server, server.client() as client:
            client.set("k", b"1")
            found[kind.what] = {section: {re.sub(r"^(items:)?\d+:", "N:", name) for name in client.stats(section)}
                                for section in SECTIONS}
    return found


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section or "general")
def test_keys_are_those_of_memcached(told, section):
    ours, theirs = told["forebay"][section], told["memcached"][section]
    assert len(theirs) > 2
    assert theirs - ours == theirs & set(ABSENT[section].split())
    assert ours - theirs - set(NEWER.get(section, "").split()) == set(OWN.get(section, "").split())


# ---- As memcached_exporter reads them ----

COMMANDS = ("get", "delete", "incr", "decr", "cas", "touch")
NUMBERS = """uptime time cas_badval cmd_flush cmd_set bytes limit_maxbytes curr_items total_items bytes_read bytes_written
    curr_connections total_connections rejected_connections conn_yields listen_disabled_num evictions reclaimed
    store_too_large store_no_memory crawler_items_checked crawler_reclaimed accepting_conns total_malloced""".split()


def read_as_the_exporter(client):
    """(general, {class: items}, {class: slabs}): its client puts the lists together, and tells them apart by the colons."""
    found = {}
    for section in ("", "slabs", "items"):
        for name, value in client.stats(section).items():
            *owner, last = name.split(":")
            found.setdefault(tuple(owner), {})[last] = value
    return (found[()], {owner[1]: numbers for owner, numbers in found.items() if len(owner) == 2},
            {owner[0]: numbers for owner, numbers in found.items() if len(owner) == 1})


def test_the_exporter_finds_what_it_looks_for(tmp_path):
    config = Config(namespace("behind", "b:", "write-behind"), namespace("aside", "a:", "cache-aside"))
    with Server(tmp_path, config=config).start() as server, server.client() as client:
        client.set("b:k", b"1")
        client.set("a:k", b"1")
        general, items, slabs = read_as_the_exporter(client)
        settings = client.stats("settings")
    for name in [*NUMBERS, *(f"{command}_{result}" for command in COMMANDS for result in ("hits", "misses"))]:
        float(general[name])
    for name in ("rusage_user", "rusage_system"):
        assert re.fullmatch(r"\d+\.\d{6}", general[name])
    assert int(settings["maxconns"]) > 0 and settings["lru_crawler"] in ("yes", "no")
    assert list(items) == list(slabs) == ["1", "2"]
    for number in slabs:
        for name in ["cmd_set", "cas_badval", "total_pages", "used_chunks", *(f"{command}_hits" for command in COMMANDS)]:
            float(slabs[number][name])
        assert float(items[number]["number"]) == 1 and float(items[number]["mem_requested"]) > 0
        assert not set(items[number]) & set(slabs[number]), "the exporter makes one metric of both, which fails every scrape"


def test_what_is_asked_of_a_namespace_counts_for_its_class(tmp_path):
    names = [f"{command}_hits" for command in COMMANDS] + ["cmd_set", "cas_badval"]
    config = Config(namespace("behind", "b:", "write-behind"), namespace("aside", "a:", "cache-aside"))

    def counts(client, number):
        slabs = client.stats("slabs")
        return [int(slabs[f"{number}:{name}"]) for name in names]

    with Server(tmp_path, config=config).start() as server, server.client() as client:
        client.set("b:k", b"1")
        client.set("a:k", b"5")
        for command in ("incr a:k 1", "incr a:none 1", "decr a:k 1", "touch a:k 100", "touch a:none 100", "cas a:k 0 0 1 1\r\nx",
                        "cas a:none 0 0 1 1\r\nx", "delete a:none"):
            client.command(command)
        assert client.get("a:k") == b"5" and client.get("a:none") is None
        client.store("cas", "a:k", b"6", token=client.gets("a:k")[2])
        client.command("delete a:k")
        client.set("a:k", b"7")
        assert counts(client, 2) == [2, 1, 1, 1, 1, 1, 5, 1]
        assert counts(client, 1) == [0, 0, 0, 0, 0, 0, 1, 0]
        general = client.stats()
        assert [int(general[name]) for name in names] == [2, 1, 1, 1, 1, 1, 6, 1]
        client.command("stats reset")
        assert counts(client, 1) == counts(client, 2) == [0] * len(names)
