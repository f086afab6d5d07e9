// Calls of a wiring whose values go nowhere.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "fathom/base/text.h"
#include "fathom/model/spec/wiring_config.h"

namespace fathom {
namespace {

std::string part_text(const Expr& e) {
  const char* letter = e.op == Expr::kAttention ? "A" : e.op == Expr::kMlp ? "M" : "N";
  return e.part == 0 ? letter : fmt::format("{}[{}]", letter, e.part);
}

void add_reads(const Expr& e, std::set<std::string>& names) {
  if (e.op == Expr::kName) names.insert(e.name);
  for (const Expr& arg : e.args) add_reads(arg, names);
}

void add_parts(const Expr& e, std::set<std::string>& parts) {
  if (e.op == Expr::kAttention || e.op == Expr::kMlp || e.op == Expr::kNorm)
    parts.insert(part_text(e));
  for (const Expr& arg : e.args) add_parts(arg, parts);
}

}  // namespace

std::vector<std::string> remarks(const WiringConfig& config) {
  if (!config.has_wiring()) return {};
  const Wiring wiring = typed_wiring(config);
  std::set<std::string> read = {"r"}, used, all;  // names that are read later; parts
  if (check_wiring(wiring).reads_y) read.insert("y");
  for (auto s = wiring.statements.rbegin(); s != wiring.statements.rend(); ++s) {
    add_parts(s->value, all);
    if (read.erase(s->target) == 0) continue;
    add_reads(s->value, read);
    add_parts(s->value, used);
  }
  std::vector<std::string> unused;
  std::set_difference(all.begin(), all.end(), used.begin(), used.end(), std::back_inserter(unused));
  if (unused.empty()) return {};
  return {fmt::format(
      "wiring = {} calls {} for values that reach neither r nor what reads y: {} "
      "not trained",
      in_quotes(config.wiring), join(unused, ", "), unused.size() == 1 ? "it is" : "they are")};
}

}  // namespace fathom
