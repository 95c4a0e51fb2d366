"""A libtorrent peer on loopback that knows others only through one tracker.

    libtorrent_peer.py make TORRENT DIR NAME TRACKER    writes TORRENT for DIR/NAME
    libtorrent_peer.py run TORRENT DIR                  seeds or fetches it until stdin ends
    libtorrent_peer.py probe                            only proves that libtorrent is here

run prints "reply N" when the tracker has handed it N peers, "error TEXT" when
it refused, and "complete" when DIR holds everything.
"""
import os
import select
import sys

import libtorrent as lt


def make(torrent, directory, name, tracker):
    files = lt.file_storage()
    lt.add_files(files, os.path.join(directory, name))
    t = lt.create_torrent(files, 16384, lt.create_torrent.v1_only)
    t.add_tracker(tracker)
    lt.set_piece_hashes(t, directory)
    with open(torrent, "wb") as f:
        f.write(lt.bencode(t.generate()))


def run(torrent, directory):
    session = lt.session({
        "listen_interfaces": "127.0.0.1:0",
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        "alert_mask": lt.alert.category_t.tracker_notification | lt.alert.category_t.status_notification
        | lt.alert.category_t.error_notification,
    })
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent)
    params.save_path = directory
    params.flags |= lt.torrent_flags.disable_pex
    session.add_torrent(params)
    while True:
        session.wait_for_alert(100)
        for a in session.pop_alerts():
            if isinstance(a, lt.tracker_reply_alert):
                print("reply", a.num_peers, flush=True)
            elif isinstance(a, lt.tracker_error_alert):
                print("error", a.message(), flush=True)
            elif isinstance(a, lt.torrent_finished_alert):
                print("complete", flush=True)
        if select.select([sys.stdin], [], [], 0)[0] and not sys.stdin.read(1):
            return


if __name__ == "__main__":
    {"make": make, "run": run, "probe": lambda: print(lt.version)}[sys.argv[1]](*sys.argv[2:])
