// What the expressions of objectives may name. Torch-free.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "fathom/model/spec/expression.h"

namespace fathom {

// Of a row at a layer, but for i and L, which are numbers.
struct ObjectiveSignal {
  const char* name;
  const char* help;
  bool before = false;       // known before the layer answers
  bool learns = false;       // has a gradient
  bool halting = false;      // needs a halting rule
  bool previous = false;     // of the layer that answered before: has no value at the first one
  bool all_before = false;   // needs the answers of all layers before it
  bool may_be_prev = false;  // prev.NAME is what it was at the layer that answered before
};
const std::vector<ObjectiveSignal>& objective_signals();

// Null: there is none.
const ObjectiveSignal* find_signal(std::string_view name);
bool is_prev(std::string_view name);           // prev.NAME
std::string_view bare(std::string_view name);  // NAME

// Whether some name of the expression `holds`; what stop() and > keep from learning counts if
// `in_stops`.
template <class F>
bool any_name(const Expr& e, bool in_stops, const F& holds) {
  if (e.op == Expr::kName) return holds(std::string_view(e.name));
  const bool hides = (e.op == Expr::kCall && e.name == "stop") || e.op == Expr::kGreater;
  if (hides && !in_stops) return false;
  return std::any_of(e.args.begin(), e.args.end(),
                     [&](const Expr& arg) { return any_name(arg, in_stops, holds); });
}

// Whether the expression reads the signal, here or as prev.NAME.
bool mentions(const Expr& e, std::string_view signal);
// Has a gradient.
bool learns(const Expr& e);
// Every name in it has its value before the layer answers.
bool is_known_before(const Expr& e);
// Some name of it has a value only where a layer has answered before.
bool needs_previous(const Expr& e);

// ... and another needs the answers of all layers before.
bool needs_all_before(const Expr& e);

}  // namespace fathom
