package swarm

import "time"

// limits are the rates that were applied last, in bytes/s; 0: none. They are owned by
// the loop.
type limits struct{ up, down int64 }

// applyLimits makes the rate limits those of the hour.
func (e *engine) applyLimits(now time.Time) {
	cfg := &e.node.cfg
	l := limits{cfg.LimitUp.At(now), cfg.LimitDown.At(now)}
	if l.up != e.limits.up {
		e.uplink.setLimit(classWide, l.up)
	}
	if l.down != e.limits.down {
		e.uplink.down.setLimit(classWide, l.down)
	}
	e.limits = l
}

// classOf tells whether the limits bind a peer: near ones only with
// Config.LimitLAN, and then they share the limits with all others.
func (n *Node) classOf(near bool) class {
	if near && !n.cfg.LimitLAN {
		return classLocal
	}
	return classWide
}
