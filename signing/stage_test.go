package signing

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// documents plays the commands about documents; the rest is received by a follower.
//
//	next D D0 [sign=K,K] [rootadd= rootdrop= rootneed=] [headsadd= headsdrop= headsneed=]
//	     [targetsadd= targetsdrop=] [base=L:SIZE] [dht=K] [expires=D]
//	                             D is the root document that follows D0, a channel or another D
//	alias D D0 A B               D is D0 with key A under B's key id too, signed by A under both
//	give F D [edit "old" "new"]  F receives the root document D
//	targets T channel=C version=N [sign=K,K] [expires=D] [writer:W=K,K] [need:W=N] [paths:W=P,P] [base:W=L:SIZE]
//	                             T is a targets document
//	grant L T [after=N]          an entry of L that puts T into force; N is the index of the grant before
//	point L N TEXT               an entry of L which says that the newest grant is at N
//	hand F T                     F receives the targets document T
//	page F L N [size=N]          F receives entry N of L as the grant that it needs
//	wants F                      which documents F knows to be missing
//	withdrawn F [writer=W]       what F marks as withdrawn
//	allows F W NAME              whether entries of W may name a file
//	dht F K                      whether F asks the DHT under key K
//	standing F sources=N asked=N what F shows in one line
//	install F sources=N asked=N  whether F would install, with 2 sources needed
//	evidence F [writer=W]        whether F's proof of the fork convinces somebody who knows the id alone
func (s *stage) documents(w []string, o map[string]string) string {
	writer := or(o["writer"], MainWriter)
	switch w[0] {
	case "next":
		s.channels[w[1]] = s.next(s.channels[w[2]], o)
	case "alias":
		s.channels[w[1]] = s.alias(s.channels[w[2]], namedKey(w[3]), namedKey(w[4]))
	case "give":
		raw := s.channels[w[2]].Bytes()
		if len(w) > 3 {
			raw = s.replace(raw, w[4], w[5], o)
		}
		f := s.followers[w[1]]
		before := f.Bytes()
		err := f.UpdateRoot(raw)
		acc := Accepted{Changed: string(before) != string(f.Bytes()), Needs: f.Wants()}
		return s.verdict(acc, err, f, writer)
	case "targets":
		s.targets[w[1]] = s.newTargets(o)
	case "grant":
		t := s.targets[w[2]]
		_, err := s.logs[w[1]].Append(GrantEntry(t, s.now.UnixMilli(), 1, s.number(o["after"], -1)))
		s.must(err)
	case "point":
		text := strings.Join(w[3:], " ")
		_, err := s.logs[w[1]].Append([]byte(fmt.Sprintf("d1:^d1:gi%dee1:x%d:%s1:y4:poste", s.number(w[2], 0)+1, len(text), text)))
		s.must(err)
	case "hand":
		f := s.followers[w[1]]
		before := f.Bytes()
		err := f.UpdateTargets(s.targets[w[2]].Bytes())
		return s.verdict(Accepted{Changed: string(before) != string(f.Bytes()), Needs: f.Wants()}, err, f, writer)
	case "page":
		l := s.logs[w[2]]
		p, err := l.Page(s.number(w[3], 0), 1, s.number(o["size"], l.Head().Size))
		s.must(err)
		f := s.followers[w[1]]
		err = f.UpdateGrant(p)
		return s.verdict(Accepted{Changed: true, Needs: f.Wants()}, err, f, writer)
	default:
		return s.ask(w, o, writer)
	}
	return ""
}

// ask plays the commands that only look at a follower.
func (s *stage) ask(w []string, o map[string]string, writer string) string {
	f := s.followers[w[1]]
	yes := map[bool]string{true: "yes", false: "no"}
	switch w[0] {
	case "wants":
		return strings.TrimPrefix(s.verdict(Accepted{Needs: f.Wants()}, nil, f, writer), "nothing new")
	case "withdrawn":
		var out []string
		for _, g := range f.Withdrawn(writer) {
			out = append(out, fmt.Sprintf("%d to %d by version %d", g.First, g.Size-1, g.Version))
		}
		return or(strings.Join(out, ", "), "nothing")
	case "allows":
		return yes[f.Allows(w[2], w[3])]
	case "dht":
		return yes[f.Root().DHTKey().Equal(public(namedKey(w[2])))]
	case "standing":
		return f.Standing(writer, s.now, int(s.number(o["sources"], 0)), int(s.number(o["asked"], 0))).String()
	case "install":
		err := f.Standing(writer, s.now, int(s.number(o["sources"], 0)), int(s.number(o["asked"], 0))).Install(2)
		if err == nil {
			return "installs"
		}
		return s.verdict(Accepted{}, err, f, writer)
	case "evidence":
		e, ok := f.Evidence(writer)
		if !ok {
			return "none"
		}
		again, err := ParseEvidence(e.Bytes())
		s.must(err)
		if _, _, err := again.Verify(); err != nil {
			return "unconvincing: " + err.Error()
		}
		return "convincing"
	}
	return s.receive(w, o)
}

func (s *stage) baseOf(text string) Base {
	name, size, _ := strings.Cut(text, ":")
	b := Base{Size: s.number(size, 0)}
	var err error
	b.Root, err = s.logs[name].RootAt(b.Size)
	s.must(err)
	return b
}

func (s *stage) alias(r *Root, a, b ed25519.PrivateKey) *Root {
	text := strings.ReplaceAll(string(r.Bytes()), hex.EncodeToString(public(b)), hex.EncodeToString(public(a)))
	text = `{"signatures":[]` + text[strings.Index(text, `,"signed":`):]
	doc, err := ParseRoot([]byte(text))
	s.must(err)
	var sigs []string
	for _, k := range []ed25519.PrivateKey{a, b} {
		id, err := NewKey(k.Public())
		s.must(err)
		sigs = append(sigs, fmt.Sprintf(`{"keyid":"%s","sig":"%x"}`, id.ID(), ed25519.Sign(a, doc.Payload())))
	}
	doc, err = ParseRoot([]byte(strings.Replace(text, "[]", "["+strings.Join(sigs, ",")+"]", 1)))
	s.must(err)
	return doc
}

func (s *stage) next(before *Root, o map[string]string) *Root {
	edit := func(role string) (e RoleEdit) {
		if o[role+"add"] != "" {
			e.Add = oneKey(namedKeys(o[role+"add"])...).Keys
		}
		if o[role+"drop"] != "" {
			for _, k := range namedKeys(o[role+"drop"]) {
				id, err := NewKey(k.Public())
				s.must(err)
				e.Drop = append(e.Drop, id.ID())
			}
		}
		e.Threshold = int(s.number(o[role+"need"], 0))
		return e
	}
	e := RootEdit{Root: edit("root"), Targets: edit("targets"), Timestamp: edit("heads")}
	if o["base"] != "" {
		e.Base = map[string]Base{MainWriter: s.baseOf(o["base"])}
	}
	if o["dht"] != "" {
		e.DHT = public(namedKey(o["dht"]))
	}
	if o["expires"] != "" {
		e.Expires = s.now.Add(s.duration(o["expires"]))
	}
	next, err := before.Edit(e)
	s.must(err)
	for _, k := range namedKeys(or(o["sign"], "root")) {
		s.must(next.Sign(k))
	}
	return next
}

func (s *stage) newTargets(o map[string]string) *Targets {
	p := TargetsParams{Version: s.number(o["version"], 1), Expires: s.now.Add(30 * 24 * time.Hour), Base: map[string]Base{}}
	if o["expires"] != "" {
		p.Expires = s.now.Add(s.duration(o["expires"]))
	}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		value := o[key]
		if name, ok := strings.CutPrefix(key, "writer:"); ok {
			w := WriterParams{Name: name, Role: oneKey(namedKeys(value)...)}
			w.Role.Threshold = int(s.number(o["need:"+name], 0))
			if o["paths:"+name] != "" {
				w.Paths = strings.Split(o["paths:"+name], ",")
			}
			p.Writers = append(p.Writers, w)
		}
		if name, ok := strings.CutPrefix(key, "base:"); ok {
			p.Base[name] = s.baseOf(value)
		}
	}
	t, err := NewTargets(p)
	s.must(err)
	for _, k := range namedKeys(or(o["sign"], "online")) {
		s.must(t.Sign(k))
	}
	return t
}
