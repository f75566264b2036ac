------------------------------ MODULE Holdfast ------------------------------
(* The replication of ARCHITECTURE.md: one extent, one shard.                 *)
(*                                                                            *)
(* A primary is named by its epoch. It is never crashed by an action: one     *)
(* that takes no step any more has crashed, one that goes on late was paused. *)
(* The FIFO connection from a primary to a replica is the primary's list of   *)
(* operations and the replica's place in it; what was not applied before the  *)
(* session ended is lost. Acknowledgements are read off that place: whoever   *)
(* needs one may look late, which is a delay of any length.                   *)
(* A compare-and-set lies in casq until it is applied or can never be: its    *)
(* answer may be lost and it may land long after its sender gave up.          *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS Replica, Block,
          InSync0,      \* the in-sync set at the start; the others are new
          MaxEpoch, MaxVer, MaxWrites, MaxOps, MaxReseal, MaxLearn, MaxHeld,
          MaxPower,     \* power losses; 0 also leaves flushes out
          MaxFlush, MinInSync,
          MaxResume,    \* times that a learner notes how far it is; 0: it never resumes
          Mut           \* the rule that is broken on purpose; "none" for the design

Epochs == 1..MaxEpoch
Max(a, b) == IF a > b THEN a ELSE b
Zero == [b \in Block |-> 0]
None == [ep |-> 0]

VARIABLES
  cfg,    \* etcd: [ver, ep, isr, left]; left[r]: the version under which r left (0: never in)
  casq,   \* compare-and-sets on their way: [ver, isr]
  pst,    \* primary: "no", "seal" (promoted), "serve"
  kn,     \* primary: the config it knows, [ver, isr], and the set it was promoted with, was
  pend,   \* primary: the in-sync set of its compare-and-set of unknown outcome, or {}
  join,   \* primary: the learner it counts already, or {}
  ops,    \* primary: operations sent, in sequence
  ackd,   \* primary: the settled sequence
  at,     \* place of each replica in ops
  ok,     \* replicas levelled (learners: caught up) in this session
  conn,   \* replica: the primaries that it listens to (one, unless a rule is broken)
  prom,   \* replica: promised epoch, durable
  ls,     \* leases that a primary may still believe in: <<epoch, replica>>
  vol, stp,    \* replica: blocks and stamp as read back
  dur, dstp,   \* replica: the same, as after a power loss
  log,    \* replicas that have the extent in their intent log (durable)
  susp,   \* replicas that lost power and were not levelled since (durable)
  mon,    \* the checker: what a register may hold, given what clients saw
  hi,     \* the checker: highest epoch that acknowledged a write
  cu,     \* learners that caught up with what is still in doubt: they may join, and are levelled with the rest
  held,   \* primary: a read that has its data and has not been answered yet, or {}
  cp,     \* replica: an extent fetched from a peer and not yet stored, or none
  rs,     \* replica: what it noted of catching up, durably (cur), under which
          \* version its session began (ver), from which stamp on it compares (from)
  n       \* counters that bound the run; n.x: the epoch that told of a loss (ARCHITECTURE.md: lossAt)
vars == <<cfg, casq, pst, kn, pend, join, ops, ackd, at, ok, conn, prom, ls,
          vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi, n, rs>>

-----------------------------------------------------------------------------
(* The checker. A state of the register: its value, the writes that have not  *)
(* taken effect yet, and (where power may fail) what an unflushed disk may    *)
(* still fall back to. A set of such states is all that is possible.          *)
Power == MaxPower > 0
Effect(c, w) == [val |-> w, rem |-> c.rem \ {w},
                 back |-> IF Power THEN c.back \cup {w} ELSE {}]
RECURSIVE Close(_)
Close(S) == LET T == S \cup UNION {{Effect(c, w) : w \in c.rem} : c \in S}
            IN IF T = S THEN S ELSE Close(T)
Invoked(S, w) == {[c EXCEPT !.rem = @ \cup {w}] : c \in S}
Acked(S, w)   == {c \in Close(S) : w \notin c.rem}
Seen(S, v)    == {c \in Close(S) : c.val = v}
Flushed(S)    == {[c EXCEPT !.back = {c.val}] : c \in Close(S)}
Reverted(S)   == S \cup UNION {{[c EXCEPT !.val = v] : v \in c.back} : c \in Close(S)}
Legal(S, v)   == \E c \in Close(S) : c.val = v

-----------------------------------------------------------------------------
Count(e) ==   \* who must have a write before it is acknowledged
  CASE Mut = "AckBeforeCas" /\ pend[e] # {} /\ join[e] = {} -> pend[e]
    [] Mut = "JoinUncounted" -> kn[e].isr
    [] OTHER -> kn[e].isr \cup pend[e] \cup join[e]
Len0(e) == Len(ops[e])
Settled(e) == ackd[e] = Len0(e)
Unfenced == {"NoSeal", "SharedEpoch"}
Listens(r, e) == e \in conn[r] /\ (prom[r] <= e \/ Mut \in Unfenced)
Leased(e) == \A r \in Count(e) : <<e, r>> \in ls
InDoubt(e, r) == log \cap (kn[e].isr \cup {r}) # {}

Unlocked(e) == \A r \in Replica : ~(cp[r].ep = e /\ Listens(r, e))     \* the extent's lock: no copy of it under way
Append2(e, op) == ops' = [ops EXCEPT ![e] = Append(@, op)]

Init ==
  /\ cfg = [ver |-> 1, ep |-> 1, isr |-> InSync0, left |-> [r \in Replica |-> 0]]
  /\ casq = {}
  /\ pst = [e \in Epochs |-> IF e = 1 THEN "serve" ELSE "no"]
  /\ kn = [e \in Epochs |-> IF e = 1 THEN [ver |-> 1, isr |-> InSync0, was |-> InSync0]
                                          ELSE [ver |-> 0, isr |-> {}, was |-> {}]]
  /\ pend = [e \in Epochs |-> {}]
  /\ join = [e \in Epochs |-> {}]
  /\ ops = [e \in Epochs |-> <<>>]
  /\ ackd = [e \in Epochs |-> 0]
  /\ at = [e \in Epochs |-> [r \in Replica |-> 0]]
  /\ ok = [e \in Epochs |-> IF e = 1 THEN InSync0 ELSE {}]
  /\ conn = [r \in Replica |-> IF r \in InSync0 THEN {1} ELSE {}]
  /\ prom = [r \in Replica |-> IF r \in InSync0 THEN 1 ELSE 0]
  /\ ls = {<<1, r>> : r \in InSync0}
  /\ vol = [r \in Replica |-> Zero] /\ dur = vol
  /\ stp = [r \in Replica |-> 0] /\ dstp = stp
  /\ log = {} /\ susp = {} /\ cp = [r \in Replica |-> None] /\ cu = [e \in Epochs |-> {}]
  /\ mon = [b \in Block |-> {[val |-> 0, rem |-> {}, back |-> IF Power THEN {0} ELSE {}]}]
  /\ hi = 0
  /\ n = [w |-> 0, p |-> 0, f |-> 0, s |-> 0, l |-> 0, h |-> 0, x |-> 0, g |-> 0]
  /\ rs = [cur |-> [r \in Replica |-> [since |-> 0, ver |-> 0]], ver |-> [r \in Replica |-> 0], from |-> [r \in Replica |-> 0]]
  /\ held = [e \in Epochs |-> {}]

-----------------------------------------------------------------------------
(* The leader: raises the epoch whenever it likes.                            *)
Promote ==
  /\ cfg.ep < MaxEpoch /\ cfg.ver < MaxVer
  /\ LET e == cfg.ep + 1 IN
     /\ cfg' = [cfg EXCEPT !.ver = @ + 1, !.ep = e]
     /\ pst' = [pst EXCEPT ![e] = "seal"]
     /\ kn' = [kn EXCEPT ![e] = [ver |-> cfg.ver + 1, isr |-> cfg.isr, was |-> cfg.isr]]
  /\ casq' = {}     \* all of them expected the former version
  /\ UNCHANGED <<pend, join, ops, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi, n>>

(* etcd applies a compare-and-set, now or never.                              *)
Cas(c) ==
  /\ c.ver = cfg.ver
  /\ cfg' = [cfg EXCEPT !.ver = @ + 1, !.isr = c.isr,
       !.left = [r \in Replica |-> IF r \in cfg.isr \ c.isr THEN cfg.ver + 1
                                   ELSE IF r \in c.isr THEN 0 ELSE @[r]]]
  /\ casq' = {}
  /\ UNCHANGED <<pst, kn, pend, join, ops, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi, n>>

Send(e, isr) == casq' = IF cfg.ver = kn[e].ver THEN casq \cup {[ver |-> kn[e].ver, isr |-> isr]} ELSE casq

(* The primary learns what became of it: only a later version tells.          *)
Adopt(e) ==
  /\ pst[e] # "no" /\ (cfg.ep = e \/ Mut = "SharedEpoch") /\ cfg.ver > kn[e].ver
  /\ kn' = [kn EXCEPT ![e] = [@ EXCEPT !.ver = cfg.ver, !.isr = cfg.isr]]
  /\ pend' = [pend EXCEPT ![e] = {}]
  /\ join' = [join EXCEPT ![e] = {}]
  /\ conn' = [r \in Replica |-> IF r \in Count(e) \ cfg.isr THEN conn[r] \ {e} ELSE conn[r]]
  /\ UNCHANGED <<cfg, casq, pst, ops, ackd, at, ok, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi, n>>

GiveUp(e) ==   \* settle it by a newer version that holds what was
  /\ pend[e] # {}
  /\ IF Mut = "TrustRead"
       THEN /\ cfg.ver = kn[e].ver /\ pend' = [pend EXCEPT ![e] = {}] /\ join' = [join EXCEPT ![e] = {}]
            /\ conn' = [r \in Replica |-> IF r \in join[e] THEN conn[r] \ {e} ELSE conn[r]]
            /\ UNCHANGED casq
       ELSE Send(e, kn[e].isr) /\ casq' # casq /\ UNCHANGED <<pend, join, conn>>
  /\ UNCHANGED <<cfg, pst, kn, ops, ackd, at, ok, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi, n>>

-----------------------------------------------------------------------------
(* A session: the promise, the log, and an end to what came before.           *)
Seal(e, r) ==
  /\ pst[e] # "no" /\ prom[r] <= e
  /\ r \in kn[e].isr \cup pend[e] \cup (IF Mut = "JoinReconnects" THEN join[e] ELSE {})
  /\ IF pst[e] = "seal" /\ <<e, r>> \notin ls
       THEN UNCHANGED n
       ELSE n.s < MaxReseal /\ n' = [n EXCEPT !.s = @ + 1]   \* a reconnection
  /\ conn' = [conn EXCEPT ![r] = IF Mut \in Unfenced THEN @ \cup {e} ELSE {e}]
  /\ prom' = [prom EXCEPT ![r] = IF Mut \in Unfenced THEN @ ELSE e]
  /\ at' = [at EXCEPT ![e][r] =      \* what is in flight is sent again
               IF Mut \in {"ReconnectSkips", "NoResend"} THEN Len0(e) ELSE ackd[e]]
  /\ LET fresh == ~InDoubt(e, r) \/ (Mut \in {"ReconnectResends", "ReconnectSkips"} /\ pst[e] = "serve")
     IN ok' = [ok EXCEPT ![e] = IF fresh THEN @ \cup {r}
                 ELSE IF pst[e] = "seal" THEN {} ELSE @ \ {r}]
  /\ ls' = ls \cup {<<e, r>>}
  /\ cp' = [cp EXCEPT ![r] = IF Mut = "StaleCopy" THEN @ ELSE None]
  /\ susp' = IF Mut = "SuspicionForgotten" THEN susp \ {r} ELSE susp
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, vol, stp, dur, dstp, log, cu, held, mon, hi>>

Sealed(e) == \A r \in kn[e].isr : <<e, r>> \in ls
Expire(e, r) ==      \* of interest only where it is not renewed
  /\ <<e, r>> \in ls /\ ~Listens(r, e) /\ e < cfg.ep
  /\ ls' = ls \ {<<e, r>>}
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, at, ok, conn, prom, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi, n>>

Serve(e) ==
  /\ pst[e] = "seal" /\ pend[e] = {} /\ Sealed(e)
  /\ \/ Mut = "NoLeaseWait" \/ Mut \in Unfenced
     \/ \E r \in (IF Mut = "LeaseOfAny" THEN kn[e].isr ELSE kn[e].was) :
          /\ <<e, r>> \in ls
          /\ \/ \A d \in 1..(e - 1) : <<d, r>> \notin ls
             \/ Mut = "GrantForgotten" /\ r \in susp
  /\ pst' = [pst EXCEPT ![e] = "serve"]
  /\ UNCHANGED <<cfg, casq, kn, pend, join, ops, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi, n>>

Remove(e, r) ==
  /\ pst[e] # "no" /\ pend[e] = {} /\ join[e] = {}
  /\ r \in kn[e].isr /\ kn[e].ver < MaxVer
  /\ Cardinality(kn[e].isr) > MinInSync
  /\ \E q \in kn[e].isr \ {r} : Listens(q, e) /\ (q \notin susp \/ Mut = "ReduceToSuspects")
  /\ pend' = [pend EXCEPT ![e] = kn[e].isr \ {r}]
  /\ Send(e, kn[e].isr \ {r})
  /\ UNCHANGED <<cfg, pst, kn, join, ops, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi, n>>

(* Levelling. Also after a reconnection, from a replica that needs none.      *)
Level(e) ==
  /\ pst[e] # "no" /\ pend[e] = {} /\ Sealed(e) /\ Len0(e) < MaxOps
  /\ Count(e) \ ok[e] # {}
  /\ Unlocked(e) \/ Mut = "LevelUnlocked"
  /\ \E q \in kn[e].isr :
     /\ Listens(q, e) /\ at[e][q] = Len0(e)
     /\ ok[e] \cap kn[e].isr # {} => q \in ok[e]
     /\ LET lossy == q \in susp
            all   == kn[e].isr \subseteq susp /\ \A r \in kn[e].isr : Listens(r, e)
        IN /\ lossy => \/ Mut = "SuspectAuthority"
                       \/ all /\ (pst[e] = "seal" \/ Mut = "LossGoesUnsaid")
           /\ IF lossy /\ pst[e] = "seal" /\ Mut \notin {"SuspectAuthority", "ReduceToSuspects"}
                THEN mon' = [b \in Block |-> Reverted(mon[b])] /\ n' = [n EXCEPT !.x = e]
                ELSE UNCHANGED <<mon, n>>
     /\ Append2(e, [k |-> "L", b |-> 0, v |-> vol[q], ver |-> kn[e].ver])
  \* one at a time
  /\ \A i \in 1..Len0(e) : ops[e][i].k = "L" => i <= ackd[e] \/ \E r \in Count(e) \ ok[e] : at[e][r] >= i
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, hi>>

-----------------------------------------------------------------------------
(* Client writes, flushes, reads.                                             *)
Ready(e) == pst[e] = "serve" /\ (Count(e) \subseteq ok[e] \/ Mut = "NoLevel")

Write(e, b) ==
  /\ Ready(e) /\ Len0(e) < MaxOps /\ n.w < MaxWrites
  /\ \A h \in held[e] : h.b # b
  /\ Unlocked(e)
  /\ Append2(e, [k |-> "W", b |-> b, v |-> n.w + 1, ver |-> kn[e].ver])
  /\ mon' = [mon EXCEPT ![b] = Invoked(@, n.w + 1)]
  /\ n' = [n EXCEPT !.w = @ + 1]
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, hi>>

Flush(e) ==
  /\ Ready(e) /\ Len0(e) < MaxOps /\ n.f < MaxFlush /\ Settled(e)
  /\ Append2(e, [k |-> "F", b |-> 0, v |-> 0, ver |-> kn[e].ver])
  /\ n' = [n EXCEPT !.f = @ + 1]
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi>>

Restamp(e) ==
  /\ pst[e] = "serve" /\ ~Settled(e) /\ Len0(e) < MaxOps /\ Mut # "NoRestamp"
  /\ \A i \in (ackd[e] + 1)..Len0(e) : ops[e][i].ver < kn[e].ver
  /\ Append2(e, [k |-> "R", b |-> 0, v |-> 0, ver |-> kn[e].ver])
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi, n>>

Ack(e) ==    \* of a write, a flush, a levelling: when every counted replica has it, under the config that holds
  /\ pst[e] = "serve" /\ ~Settled(e)
  /\ LET i == ackd[e] + 1
         op == ops[e][i] IN
     /\ \E j \in i..Len0(e) :
        /\ ops[e][j].ver = kn[e].ver \/ (Mut = "NoRestamp" /\ j = i) \/ (Mut = "NoRestampLevel" /\ op.k = "L" /\ j = i)
        /\ \A r \in Count(e) : r \in ok[e] /\ at[e][r] >= j
     /\ op.k \in {"W", "F"} => Leased(e) \/ Mut = "AckUnleased"
     /\ mon' = CASE op.k = "W" -> [mon EXCEPT ![op.b] = IF e < n.x THEN Reverted(Acked(@, op.v)) ELSE Acked(@, op.v)]
                 [] op.k = "F" -> [b \in Block |-> Flushed(mon[b])]
                 [] OTHER -> mon
     /\ hi' = CASE op.k = "W" /\ e < hi -> 99 [] op.k = "W" -> e [] OTHER -> hi
  /\ ackd' = [ackd EXCEPT ![e] = @ + 1]
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, n>>

Readable(e, b, r) ==
  /\ Ready(e) /\ r \in kn[e].isr /\ Listens(r, e)
  /\ \A i \in (ackd[e] + 1)..Len0(e) :
       \/ ops[e][i].k = "L" /\ Mut = "NoLevel"
       \/ ops[e][i].k = "W" /\ (ops[e][i].b # b \/ Mut = "ReadInFlight")
       \/ ops[e][i].k \in {"R", "F"}

Answer(e, b, v) ==
  /\ Leased(e) \/ Mut = "NoLease"
  /\ mon' = [mon EXCEPT ![b] = IF e < n.x THEN Reverted(Seen(@, v)) ELSE Seen(@, v)]   \* its client ends with it

Read(e, b, r) ==
  /\ Readable(e, b, r) /\ Answer(e, b, vol[r][b]) /\ mon' # mon
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, hi, n>>

Hold(e, b, r) ==     \* a read whose answer may leave much later
  /\ n.h < MaxHeld /\ n' = [n EXCEPT !.h = @ + 1]
  /\ Readable(e, b, r) /\ held' = [held EXCEPT ![e] = {[b |-> b, v |-> vol[r][b]]}]
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, mon, hi>>

Reply(e) ==
  /\ \E h \in held[e] : Answer(e, h.b, h.v)
  /\ held' = [held EXCEPT ![e] = {}]
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, at, ok, conn, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, hi, n>>

-----------------------------------------------------------------------------
(* A replica applies the next operation of its connection.                    *)
Apply(e, r) ==
  /\ Listens(r, e) /\ at[e][r] < Len0(e)
  /\ LET op == ops[e][at[e][r] + 1]
         learner == r \notin Count(e)
         marks == CASE op.k = "F" -> FALSE [] op.k = "L" /\ Mut = "NoLevelMark" -> FALSE [] OTHER -> TRUE
         stamps == CASE op.k = "F" -> FALSE
                     [] op.k = "L" /\ Mut = "NoLevelStamp" -> FALSE
                     [] op.k = "R" /\ Mut = "NoRestampLearner" /\ learner -> FALSE
                     [] OTHER -> TRUE IN
     /\ vol' = [vol EXCEPT ![r] = CASE op.k = "W" -> [@ EXCEPT ![op.b] = op.v]
                                    [] op.k = "L" -> op.v [] OTHER -> @]
     /\ stp' = [stp EXCEPT ![r] = IF stamps THEN Max(@, op.ver) ELSE @]
     /\ log' = IF marks THEN log \cup {r} ELSE log
     /\ ok' = [ok EXCEPT ![e] = IF op.k = "L" /\ ~learner THEN @ \cup {r} ELSE @]
     /\ susp' = IF op.k = "L" /\ ~learner THEN susp \ {r} ELSE susp
     /\ dur' = IF op.k = "F" /\ ~learner THEN [dur EXCEPT ![r] = vol[r]] ELSE dur
     /\ dstp' = IF op.k = "F" /\ ~learner THEN [dstp EXCEPT ![r] = stp[r]] ELSE dstp
  /\ at' = [at EXCEPT ![e][r] = @ + 1]
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, conn, prom, ls, cp, cu, held, mon, hi, n>>

(* The extent leaves the log: durable here, settled, and nothing old in it.   *)
Clean(e, r) ==
  /\ r \in log /\ Listens(r, e)
  /\ r \in ok[e] \/ Mut = "CleanOld"
  /\ at[e][r] <= ackd[e] \/ Mut = "CleanUnsettled"
  /\ Count(e) \subseteq ok[e] \/ Mut \in {"CleanInDoubt", "CleanOld"}    \* levelled: the primary has it out of its union
  /\ log' = log \ {r}
  /\ IF Mut = "CleanVolatile" THEN UNCHANGED <<dur, dstp>>
     ELSE dur' = [dur EXCEPT ![r] = vol[r]] /\ dstp' = [dstp EXCEPT ![r] = stp[r]]
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, at, ok, conn, prom, ls, vol, stp, susp, cp, cu, held, mon, hi, n>>

PowerLoss(r) ==
  /\ n.p < MaxPower /\ n' = [n EXCEPT !.p = @ + 1]
  /\ \E keep \in SUBSET Block : \E s \in {stp[r], dstp[r]} :
     /\ vol' = [vol EXCEPT ![r] = [b \in Block |-> IF b \in keep THEN vol[r][b] ELSE dur[r][b]]]
     /\ stp' = [stp EXCEPT ![r] = s] /\ dstp' = [dstp EXCEPT ![r] = s]
     /\ dur' = [dur EXCEPT ![r] = vol'[r]]
  /\ susp' = susp \cup {r}
  /\ conn' = [conn EXCEPT ![r] = {}]
  /\ cp' = [cp EXCEPT ![r] = None]
  /\ prom' = IF Mut = "VolatilePromise" THEN [prom EXCEPT ![r] = 0] ELSE prom
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, at, ok, ls, log, cu, held, mon, hi>>

-----------------------------------------------------------------------------
(* Return.                                                                    *)
Learn(e, r) ==
  /\ pst[e] # "no" /\ r \notin Count(e) /\ r \notin kn[e].isr /\ e \notin conn[r] /\ prom[r] <= e
  /\ kn[e].ver < MaxVer /\ n.l < MaxLearn /\ n' = [n EXCEPT !.l = @ + 1]
  /\ conn' = [conn EXCEPT ![r] = {e}] /\ prom' = [prom EXCEPT ![r] = e]
  /\ at' = [at EXCEPT ![e][r] = Len0(e)]
  /\ ok' = [ok EXCEPT ![e] = @ \ {r}] /\ cu' = [cu EXCEPT ![e] = @ \ {r}]
  /\ cp' = [cp EXCEPT ![r] = IF Mut = "StaleCopy" THEN @ ELSE None]
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, ls, vol, stp, dur, dstp, log, susp, held, mon, hi>>

Lose(e, r) ==      \* a learner's session breaks, also a counted one's; when it left stays what it was
  /\ r \notin kn[e].isr \cup pend[e] /\ Listens(r, e) /\ n.s < MaxReseal /\ n' = [n EXCEPT !.s = @ + 1]
  /\ conn' = [conn EXCEPT ![r] = {}]
  /\ join' = [join EXCEPT ![e] = @ \ {r}]
  /\ cfg' = IF Mut = "LeftRenewed" THEN [cfg EXCEPT !.left[r] = cfg.ver] ELSE cfg
  /\ UNCHANGED <<casq, pst, kn, pend, ops, ackd, at, ok, prom, ls, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi>>

(* Interrupted, it resumes. What it compared in a session that began under a  *)
(* version is compared again if stamped with that version or a later one;     *)
(* what it noted holds for the absence in which it noted it.                  *)
Resumes(r) == rs.cur[r].ver > 0 /\ (rs.cur[r].since = cfg.left[r] \/ Mut = "ResumeOther")
LearnFrom(e, r) ==
  /\ Learn(e, r)
  /\ rs' = IF MaxResume = 0 THEN rs
           ELSE [rs EXCEPT !.ver[r] = kn[e].ver,
                           !.from[r] = IF ~Resumes(r) THEN cfg.left[r] ELSE IF Mut = "ResumeLate" THEN rs.cur[r].ver + 1 ELSE rs.cur[r].ver]
From(r) == IF MaxResume = 0 THEN cfg.left[r] ELSE rs.from[r]

Note(e, r) ==      \* behind all that was sent before the primary asked for it; flushed first
  /\ n.g < MaxResume /\ n' = [n EXCEPT !.g = @ + 1]
  /\ r \notin Count(e) /\ Listens(r, e)
  /\ r \in ok[e] \cup cu[e] \/ Mut = "ResumeEarly"
  /\ dur' = [dur EXCEPT ![r] = vol[r]] /\ dstp' = [dstp EXCEPT ![r] = stp[r]]
  /\ rs' = [rs EXCEPT !.cur[r] = [since |-> cfg.left[r], ver |-> rs.ver[r]]]
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, at, ok, conn, prom, ls, vol, stp, log, susp, cp, cu, held, mon, hi>>

Fetch(e, r) ==     \* under the extent's lock: all that was sent of it is applied at both ends
  /\ pst[e] # "no" /\ e = cfg.ep /\ (cp[r] = None \/ (Mut = "StaleCopy" /\ cp[r].ep # e))
  /\ r \notin Count(e) /\ Listens(r, e) /\ r \notin ok[e] /\ at[e][r] = Len0(e)
  /\ \E q \in kn[e].isr :
     /\ Listens(q, e) /\ at[e][q] = Len0(e)
     /\ ok[e] \cap kn[e].isr # {} => q \in ok[e]
     /\ q \notin ok[e] => r \notin cu[e]
     /\ q \notin susp
     /\ LET need == \/ stp[q] >= From(r)
                    \/ q \in log /\ Mut # "NoSourceLog"
                    \/ r \in log /\ Mut # "NoOwnLog"
            sure == q \in ok[e] \/ Mut = "CopyLevels"
        IN IF ~need THEN /\ ok' = IF sure THEN [ok EXCEPT ![e] = @ \cup {r}] ELSE ok
                         /\ cu' = IF sure THEN cu ELSE [cu EXCEPT ![e] = @ \cup {r}]
                         /\ UNCHANGED <<cp, log, vol, stp>>
           ELSE /\ log' = log \cup {r}
                /\ IF cp[r] = None
                     THEN /\ cp' = [cp EXCEPT ![r] = [ep |-> e, v |-> vol[q], stp |-> stp[q], sure |-> sure]]
                          /\ UNCHANGED <<ok, cu, vol, stp>>
                     ELSE \* only with StaleCopy: a second fetch, while the first is still under way
                          /\ vol' = [vol EXCEPT ![r] = vol[q]] /\ stp' = [stp EXCEPT ![r] = Max(@, stp[q])]
                          /\ ok' = [ok EXCEPT ![e] = @ \cup {r}] /\ UNCHANGED <<cp, cu>>
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, at, conn, prom, ls, dur, dstp, susp, held, mon, hi, n>>

Store(r) ==
  /\ cp[r] # None
  /\ LET e == cp[r].ep IN
     /\ Listens(r, e) \/ Mut = "StaleCopy"
     /\ vol' = [vol EXCEPT ![r] = cp[r].v]
     /\ stp' = [stp EXCEPT ![r] = IF Mut = "NoStampTaken" THEN @ ELSE Max(@, cp[r].stp)]
     /\ ok' = IF Listens(r, e) /\ cp[r].sure THEN [ok EXCEPT ![e] = @ \cup {r}] ELSE ok
     /\ cu' = IF Listens(r, e) /\ ~cp[r].sure THEN [cu EXCEPT ![e] = @ \cup {r}] ELSE cu
     /\ susp' = IF Listens(r, e) THEN susp \ {r} ELSE susp
     /\ IF Mut = "FlushThenCount"
          THEN dur' = [dur EXCEPT ![r] = vol'[r]] /\ dstp' = [dstp EXCEPT ![r] = stp'[r]]
          ELSE UNCHANGED <<dur, dstp>>
  /\ cp' = [cp EXCEPT ![r] = None]
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, join, ops, ackd, at, conn, prom, ls, log, held, mon, hi, n>>

Join(e, r) ==      \* counted from now on
  /\ pst[e] # "no" /\ pend[e] = {} /\ join[e] = {} /\ kn[e].ver < MaxVer
  /\ r \notin kn[e].isr /\ r \in ok[e] \cup cu[e] /\ Listens(r, e)
  /\ join' = [join EXCEPT ![e] = {r}]
  /\ ls' = ls \cup {<<e, r>>}
  /\ UNCHANGED <<cfg, casq, pst, kn, pend, ops, ackd, at, ok, conn, prom, vol, stp, dur, dstp, log, susp, cp, cu, held, mon, hi, n>>

JoinCas(e, r) ==   \* flushed behind all that was sent, then proposed
  /\ join[e] = {r} /\ pend[e] = {} /\ Listens(r, e)
  /\ r \in ok[e] \cup cu[e] /\ (at[e][r] = Len0(e) \/ Mut = "JoinBehind" \/ (Mut = "JoinBehindAcks" /\ at[e][r] >= ackd[e]))
  /\ IF Mut = "FlushThenCount" THEN UNCHANGED <<dur, dstp>>
     ELSE dur' = [dur EXCEPT ![r] = vol[r]] /\ dstp' = [dstp EXCEPT ![r] = stp[r]]
  /\ \E d \in SUBSET kn[e].isr :   \* exchanged for one that is gone, where minInSync forbids less
     /\ Cardinality(d) <= (IF Cardinality(kn[e].isr) <= MinInSync THEN 1 ELSE 0)
     /\ \E q \in kn[e].isr \ d : d # {} => Listens(q, e) /\ q \notin susp
     /\ pend' = [pend EXCEPT ![e] = (kn[e].isr \cup {r}) \ d]
     /\ Send(e, pend'[e])
  /\ UNCHANGED <<cfg, pst, kn, join, ops, ackd, at, ok, conn, prom, ls, vol, stp, log, susp, cp, cu, held, mon, hi, n>>

Step ==
  \/ Promote
  \/ \E c \in casq : Cas(c)
  \/ \E e \in Epochs :
     \/ Adopt(e) \/ GiveUp(e) \/ Serve(e) \/ Level(e) \/ Flush(e) \/ Restamp(e) \/ Ack(e) \/ Reply(e)
     \/ \E b \in Block : Write(e, b) \/ \E r \in Replica : Read(e, b, r) \/ Hold(e, b, r)
     \/ \E r \in Replica : \/ Seal(e, r) \/ Expire(e, r) \/ Remove(e, r) \/ Apply(e, r) \/ Clean(e, r)
                           \/ Lose(e, r) \/ Fetch(e, r) \/ Join(e, r) \/ JoinCas(e, r)
  \/ \E r \in Replica : Store(r) \/ PowerLoss(r)

Next ==
  \/ Step /\ UNCHANGED rs
  \/ \E e \in Epochs, r \in Replica : LearnFrom(e, r) \/ Note(e, r)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* The invariants of ARCHITECTURE.md, by number.                              *)
Inv1_OnePrimary   == hi # 99
Inv3_Linearizable == \A b \in Block : mon[b] # {}
Inv24_InSyncHolds == \A r \in cfg.isr \ susp : \A b \in Block : Legal(mon[b], vol[r][b])
Inv2_FlushedStays == Power => \A r \in cfg.isr : \A b \in Block : \E c \in Close(mon[b]) : dur[r][b] \in c.back
Inv6_EqualAtRest  ==
  LET e == cfg.ep IN
  (pst[e] = "serve" /\ Settled(e) /\ Count(e) \subseteq ok[e] /\ cfg.isr = kn[e].isr
     /\ \A r \in cfg.isr : Listens(r, e) /\ at[e][r] = Len0(e))
  => \A r, q \in cfg.isr : vol[r] = vol[q]
(* The two sentences that delta resync and levelling stand on.                *)
LogCovers   == \A r, q \in cfg.isr : vol[r] # vol[q] => log \cap cfg.isr # {}
StampCovers == \A r \in Replica \ cfg.isr, q \in cfg.isr :
                 vol[r] # vol[q] => stp[q] >= cfg.left[r] \/ log \cap (cfg.isr \cup {r}) # {}
Inv5_Monotone == [][cfg'.ep >= cfg.ep /\ cfg'.ver >= cfg.ver /\ \A r \in Replica : prom'[r] >= prom[r]]_vars
Sym == Permutations(InSync0) \cup Permutations(Replica \ InSync0)
=============================================================================
