# Runs one libtorrent session with one torrent, as told by a JSON object in the first argument, and prints JSON Lines:
# {"type":"ready"}, {"type":"done", …counters}, {"type":"stats", …counters} when stopped, {"type":"error","message":…}.
import json
import os
import signal
import sys

import libtorrent as lt

job = json.loads(sys.argv[1])


def say(kind, **more):
    print(json.dumps(dict(type=kind, **more)), flush=True)


settings = {
    "listen_interfaces": job["listen"],
    "outgoing_interfaces": job["host"],
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "alert_mask": lt.alert.category_t.status_notification
    | lt.alert.category_t.error_notification
    | lt.alert.category_t.storage_notification,
}
if job["up"] or job["down"]:
    settings["upload_rate_limit"] = job["up"]
    settings["download_rate_limit"] = job["down"]
session = lt.session(settings)
if job["up"] or job["down"]:
    # Peers on private addresses are in a class that limits pass by; a limit is only asked for where it must hold.
    everybody = lt.ip_filter()
    everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
    session.set_peer_class_filter(everybody)

if job["torrent"]:
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(job["torrent"])
else:
    params = lt.parse_magnet_uri(job["magnet"])
params.save_path = job["dir"]
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
if job["super"]:
    params.flags |= lt.torrent_flags.super_seeding
torrent = session.add_torrent(params)
for host, port in job["peers"]:
    torrent.connect_peer((host, port))


def counters():
    s = torrent.status()
    return dict(
        received=s.total_payload_download,
        wasted=s.total_redundant_bytes + s.total_failed_bytes,
        uploaded=s.total_payload_upload,
    )


def stop(*_):
    say("stats", **counters())
    os._exit(0)


signal.signal(signal.SIGTERM, stop)

done = False
while True:
    session.wait_for_alert(200)
    for a in session.pop_alerts():
        kind = type(a).__name__
        if kind in ("torrent_error_alert", "file_error_alert", "listen_failed_alert", "metadata_failed_alert"):
            say("error", message=kind + ": " + a.message())
        else:
            print(kind + ": " + a.message(), file=sys.stderr, flush=True)
        if kind == "torrent_checked_alert" and not job["seed"]:
            say("ready")
    if not done and torrent.status().is_seeding:
        done = True
        say("done", **counters())
