package follow

import (
	"handful/signing"
	"handful/swarm/channel"
)

// The owner's source.
func (o *owner) UpdateFor(writer string, size int64) (signing.Update, bool) {
	l := o.logs[writer]
	if l == nil || l.Head().Raw == nil {
		return signing.Update{}, false
	}
	u, err := l.UpdateFor(size)
	return u, err == nil
}

func (o *owner) UpdateWithin(writer string, size int64, limit int) (signing.Update, bool) {
	l := o.logs[writer]
	if l == nil || l.Head().Raw == nil {
		return signing.Update{}, false
	}
	u, err := l.UpdateWithin(size, limit)
	return u, err == nil
}

func (o *owner) Holds(writer string) (channel.Holding, bool) {
	l := o.logs[writer]
	if l == nil || l.Head().Raw == nil {
		return channel.Holding{}, false
	}
	return channel.Holding{Size: l.Head().Size, Time: l.Head().Time.Unix()}, true
}

func (o *owner) RootBytes(version int64) []byte {
	if version < 1 || version > int64(len(o.roots)) {
		return nil
	}
	return o.roots[version-1].Bytes()
}

func (o *owner) TargetsBytes(hash [32]byte) []byte {
	for _, d := range o.targets {
		if d.Hash() == hash {
			return d.Bytes()
		}
	}
	return nil
}

func (o *owner) Page(writer string, first, count, size int64) (signing.Page, bool) {
	l := o.logs[writer]
	if l == nil {
		return signing.Page{}, false
	}
	p, err := l.Page(first, count, size)
	return p, err == nil
}

func (o *owner) Range(writer string, size int64) ([][32]byte, bool) {
	l := o.logs[writer]
	if l == nil || size > l.Size() {
		return nil, false
	}
	r, err := l.Range(0, size)
	return r, err == nil
}
