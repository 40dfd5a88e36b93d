# What every exported rule leans on.
#
# A truth is one of four texts: "t" true, "f" false, "m" missing, "e" error.
# A value is {"s": "t", "v": VALUE}, {"s": "m"} or {"s": "e"}.
# An instant or a duration is [seconds, nanoseconds] with 0 <= nanoseconds < 1000000000, so that no engine rounds it.
package assize.lib

import rego.v1

all_of(truths) := "f" if {
	"f" in truths
} else := "e" if {
	"e" in truths
} else := "m" if {
	"m" in truths
} else := "t"

any_of(truths) := "t" if {
	"t" in truths
} else := "e" if {
	"e" in truths
} else := "m" if {
	"m" in truths
} else := "f"

negated("t") := "f"

negated("f") := "t"

negated("m") := "m"

negated("e") := "e"

# Values, from what stands in the input and is null where nothing does.

known(value) := {"s": "t", "v": value}

boolean(raw) := {"s": "m"} if {
	raw == null
} else := {"s": "t", "v": raw} if {
	is_boolean(raw)
} else := {"s": "e"}

number(raw) := {"s": "m"} if {
	raw == null
} else := {"s": "t", "v": large(raw)} if {
	is_number(raw)
	raw >= 1000000000000000
} else := {"s": "t", "v": large(raw)} if {
	is_number(raw)
	raw <= -1000000000000000
} else := {"s": "t", "v": raw} if {
	is_number(raw)
} else := {"s": "e"}

# As a double everywhere: some engines read a large number as a double in the input, and exactly in a module.
large(number) := (number * 0.5) * 2

whole(raw) := {"s": "m"} if {
	raw == null
} else := {"s": "t", "v": raw} if {
	is_number(raw)
} else := {"s": "e"}

text(raw) := {"s": "m"} if {
	raw == null
} else := {"s": "t", "v": raw} if {
	is_string(raw)
} else := {"s": "e"}

time(raw) := {"s": "m"} if {
	raw == null
} else := {"s": "t", "v": raw} if {
	is_array(raw)
	count(raw) == 2
	is_number(raw[0])
	is_number(raw[1])
	raw[1] >= 0
	raw[1] < 1000000000
} else := {"s": "e"}

texts(raw) := {"s": "m"} if {
	raw == null
} else := {"s": "t", "v": raw} if {
	is_array(raw)
	count(raw) <= 4096
	count([item | some item in raw; is_string(item)]) == count(raw)
} else := {"s": "e"}

numbers(raw) := {"s": "m"} if {
	raw == null
} else := {"s": "t", "v": [number(item).v | some item in raw]} if {
	is_array(raw)
	count(raw) <= 4096
	count([item | some item in raw; number(item).s == "t"]) == count(raw)
} else := {"s": "e"}

wholes(raw) := {"s": "m"} if {
	raw == null
} else := {"s": "t", "v": raw} if {
	is_array(raw)
	count(raw) <= 4096
	count([item | some item in raw; is_number(item)]) == count(raw)
} else := {"s": "e"}

booleans(raw) := {"s": "m"} if {
	raw == null
} else := {"s": "t", "v": raw} if {
	is_array(raw)
	count(raw) <= 4096
	count([item | some item in raw; is_boolean(item)]) == count(raw)
} else := {"s": "e"}

truth(value) := "t" if {
	value.s == "t"
	value.v == true
} else := "f" if {
	value.s == "t"
} else := value.s

value("t") := {"s": "t", "v": true}

value("f") := {"s": "t", "v": false}

value("m") := {"s": "m"}

value("e") := {"s": "e"}

# "t" when both are known, else the state of the whole.
both(a, b) := "e" if {
	"e" in {a.s, b.s}
} else := "m" if {
	"m" in {a.s, b.s}
} else := "t"

eq(a, b) := state if {
	state := both(a, b)
	state != "t"
} else := "t" if {
	a.v == b.v
} else := "f"

ne(a, b) := negated(eq(a, b))

lt(a, b) := state if {
	state := both(a, b)
	state != "t"
} else := "t" if {
	a.v < b.v
} else := "f"

# Not every engine orders arrays by their elements.
is_sooner(a, b) if a[0] < b[0]

is_sooner(a, b) if {
	a[0] == b[0]
	a[1] < b[1]
}

time_lt(a, b) := state if {
	state := both(a, b)
	state != "t"
} else := "t" if {
	is_sooner(a.v, b.v)
} else := "f"

time_le(a, b) := negated(time_lt(b, a))

time_gt(a, b) := time_lt(b, a)

time_ge(a, b) := negated(time_lt(a, b))

le(a, b) := negated(lt(b, a))

gt(a, b) := lt(b, a)

ge(a, b) := negated(lt(a, b))

within(item, list) := state if {
	state := both(item, list)
	state != "t"
} else := "t" if {
	item.v in list.v
} else := "f"

starts_with(a, b) := state if {
	state := both(a, b)
	state != "t"
} else := "t" if {
	startswith(a.v, b.v)
} else := "f"

ends_with(a, b) := state if {
	state := both(a, b)
	state != "t"
} else := "t" if {
	endswith(a.v, b.v)
} else := "f"

holds(a, b) := state if {
	state := both(a, b)
	state != "t"
} else := "t" if {
	contains(a.v, b.v)
} else := "f"

size(value) := {"s": "t", "v": count(value.v)} if {
	value.s == "t"
} else := {"s": value.s}

has(value) := "t" if {
	value.s == "t"
} else := "f" if {
	value.s == "m"
} else := "e"

# The answers of a condition on each element, as a set.

exists(list, answers) := list.s if {
	list.s != "t"
} else := any_of(answers)

for_all(list, answers) := list.s if {
	list.s != "t"
} else := all_of(answers)

# Time. The ranges are those of the years 1 to 9999 and of 64 bits of nanoseconds.

carried(seconds, nanos) := [seconds, nanos] if {
	nanos >= 0
	nanos < 1000000000
} else := [seconds - 1, nanos + 1000000000] if {
	nanos < 0
} else := [seconds + 1, nanos - 1000000000]

instant(pair) := {"s": "t", "v": pair} if {
	pair[0] >= -62135596800
	pair[0] < 253402300800
} else := {"s": "e"}

span(pair) := {"s": "e"} if {
	is_sooner(pair, [-9223372037, 145224192])
} else := {"s": "e"} if {
	is_sooner([9223372036, 854775807], pair)
} else := {"s": "t", "v": pair}

later(a, b) := {"s": state} if {
	state := both(a, b)
	state != "t"
} else := instant(carried(a.v[0] + b.v[0], a.v[1] + b.v[1]))

earlier(a, b) := {"s": state} if {
	state := both(a, b)
	state != "t"
} else := instant(carried(a.v[0] - b.v[0], a.v[1] - b.v[1]))

longer(a, b) := {"s": state} if {
	state := both(a, b)
	state != "t"
} else := span(carried(a.v[0] + b.v[0], a.v[1] + b.v[1]))

shorter(a, b) := {"s": state} if {
	state := both(a, b)
	state != "t"
} else := span(carried(a.v[0] - b.v[0], a.v[1] - b.v[1]))

# Between two instants: the seconds alone must fit too.
between(a, b) := {"s": state} if {
	state := both(a, b)
	state != "t"
} else := span(carried(a.v[0] - b.v[0], a.v[1] - b.v[1])) if {
	a.v[0] - b.v[0] >= -9223372036
	a.v[0] - b.v[0] <= 9223372036
} else := {"s": "e"}

# Evidence.

ranks := {"declared": 0, "inferred": 1, "measured": 2, "independent": 3}

# The fact of that name, null when there is none or its declaration is void.
fact(id, day) := found if {
	found := object.get(object.get(input, "facts", {}), id, null)
	is_object(found)
	is_valid(found, day)
} else := null

is_valid(found, day) if object.get(found, "expires", null) == null

is_valid(found, day) if {
	is_string(found.expires)
	day < found.expires
}

# Whether a fact brings what a rule asks of it. Whatever cannot be read is not met.
meets(found, need) if {
	is_object(found)
	is_answered(found, need)
	is_young(found, need)
	is_large(found, need)
	is_grounded(found, need)
	is_bounded(found, need)
}

is_answered(found, need) if need.attest == false

is_answered(found, need) if found.declared == true

is_young(found, need) if need.max_age_days == null

is_young(found, need) if {
	is_number(found.age_days)
	found.age_days <= need.max_age_days
}

is_large(found, need) if need.min_n == null

is_large(found, need) if {
	is_number(found.n)
	found.n >= need.min_n
}

is_grounded(found, need) if need.min_provenance == null

is_grounded(found, need) if ranks[found.provenance] >= ranks[need.min_provenance]

is_bounded(found, need) if need.method == null

is_bounded(found, need) if {
	found.interval.method == need.method
	is_leveled(found, need)
}

is_leveled(found, need) if need.level == null

is_leveled(found, need) if found.interval.level == need.level

# "t" or "f".
is_met(found, need) := "t" if {
	meets(found, need)
} else := "f"

# What a condition sees of a fact: null when its need is not met.
seen(found, met, field) := object.get(object.get(found, "fields", {}), field, null) if {
	met == "t"
	is_object(found)
} else := null

# Dates are texts such as "2026-08-02": their order is that of the days.
is_day(day) if {
	is_string(day)
	parts := split(day, "-")
	count(parts) == 3
	count(parts[0]) == 4
	count(parts[1]) == 2
	count(parts[2]) == 2
}

is_before(day, until) if until == null

is_before(day, until) if day < until

# A window whose condition is missing is taken, a grace is not.
is_open(condition, from, until, graces, day) := "t" if {
	condition != "f"
	day >= from
	is_before(day, until)
	count([grace | some grace in graces; grace[0] == "t"; day < grace[1]]) == 0
} else := "f"

# The procedure. `force` and `met` are "t" or "f".

verdict(kind, applies, force, met, pass, fail) := "not-applicable" if {
	applies == "f"
} else := "not-in-force" if {
	force == "f"
} else := "insufficient-evidence" if {
	applies == "m"
} else := "error" if {
	applies == "e"
} else := unmet[kind] if {
	met == "f"
} else := judged(pass, fail)

unmet := {"assess": "insufficient-evidence", "attest": "awaiting-person"}

judged(pass, fail) := "error" if {
	"e" in {pass, fail}
} else := "error" if {
	pass == "t"
	fail == "t"
} else := "pass" if {
	pass == "t"
	fail == "f"
} else := "fail" if {
	fail == "t"
} else := "insufficient-evidence"

# What a card's own Rego file says, as the two conditions.

said_pass(said) := "t" if {
	said == "pass"
} else := "f" if {
	said in {"fail", "insufficient-evidence"}
} else := "e"

said_fail(said) := "t" if {
	said == "fail"
} else := "f" if {
	said in {"pass", "insufficient-evidence"}
} else := "e"

# Requests. `owed` is a list of [truth, obligations, rank of the effect].

effects := ["allow", "redact", "hold", "block"]

state(applies, force, owed) := "not-applicable" if {
	applies == "f"
} else := "not-in-force" if {
	force == "f"
} else := "insufficient-evidence" if {
	applies == "m"
} else := "error" if {
	applies == "e"
} else := "error" if {
	"e" in {row[0] | some row in owed}
} else := "in-force"

answer(state, owed, on_error) := {"effect": 0, "obligations": set()} if {
	state in {"not-applicable", "not-in-force"}
} else := {"effect": max(ranks_of(owed) | {0, on_error}), "obligations": taken(owed)} if {
	state in {"insufficient-evidence", "error"}
} else := {"effect": max(ranks_of(owed) | {0}), "obligations": taken(owed)}

ranks_of(owed) := {row[2] | some row in owed; row[0] != "f"}

taken(owed) := {obligation | some row in owed; row[0] != "f"; some obligation in row[1]}
