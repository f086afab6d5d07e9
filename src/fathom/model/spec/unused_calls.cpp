#include "fathom/model/spec/unused_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "fathom/base/text.h"
#include "fathom/model/spec/wiring_config.h"

namespace fathom {
namespace {

using WiringPart = std::pair<Expr::Op, int>;

void add_reads(const Expr& e, std::set<std::string>& names) {
  if (e.op == Expr::kName) names.insert(e.name);
  for (const Expr& arg : e.args) add_reads(arg, names);
}

bool reads(const Expr& e, const char* name) {
  std::set<std::string> names;
  add_reads(e, names);
  return names.count(name) > 0;
}

// Without the queries that attn_scores do not compare with keys.
Wiring compared_wiring(const WiringConfig& config) {
  AttentionSpec attention;
  attention.scores = config.attn_scores;
  const Wiring typed = typed_wiring(config);
  const auto attentions = static_cast<size_t>(check_wiring(typed).attentions);
  return without_queries(typed, std::vector<bool>(attentions, attention.compares()));
}

void add_parts(const Expr& e, std::set<WiringPart>& parts) {
  if (e.op == Expr::kAttention || e.op == Expr::kMlp || e.op == Expr::kNorm)
    parts.insert({e.op, e.part});
  for (const Expr& arg : e.args) add_parts(arg, parts);
}

// The weights of such parts in the last layer are no other layer's.
bool last_has_its_own(const WiringConfig& config, Expr::Op op, int64_t n_layer) {
  const bool is_norm = op == Expr::kNorm;
  if (is_norm &&
      (!config.has_norms() || !config.norm_affine || ties_those_within(config.norm_ties)))
    return false;
  const Instances instances = instances_of(config,
                                           is_norm                  ? ModuleClass::kNorm
                                           : op == Expr::kAttention ? ModuleClass::kAttention
                                                                    : ModuleClass::kMlp,
                                           n_layer);
  const std::vector<int>& of_layer = instances.of_layer;
  return std::count(of_layer.begin(), of_layer.end(), of_layer.back()) == 1;
}

}  // namespace

bool reads_pos(const WiringConfig& config) {
  return check_wiring(compared_wiring(config)).reads_pos;
}

NormReader reader_of_n(const WiringConfig& config) {
  const std::vector<Statement> statements = compared_wiring(config).statements;
  std::set<std::string> read = {"r"};  // names whose values a result is made of
  for (const Statement& s : statements)
    if (reads(s.value, "y")) read.insert("y");
  NormReader reader = NormReader::kNobody;
  for (auto s = statements.rbegin(); s != statements.rend(); ++s) {
    const bool is_read = read.erase(s->target) > 0;
    if (is_read) add_reads(s->value, read);
    if (!reads(s->value, "n")) continue;
    if (is_read) return NormReader::kBlock;
    reader = NormReader::kProbe;
  }
  return reader;
}

std::vector<std::string> remarks(const WiringConfig& config, int64_t n_layer) {
  if (!config.has_wiring()) return {};
  const Wiring wiring = compared_wiring(config);
  std::set<std::string> read = {"r"};  // names that this block's result is made of
  std::set<WiringPart> used, all;
  for (auto s = wiring.statements.rbegin(); s != wiring.statements.rend(); ++s) {
    add_parts(s->value, all);
    if (read.erase(s->target) == 0) continue;
    add_reads(s->value, read);
    add_parts(s->value, used);
  }
  std::vector<std::string> untrained;
  for (const WiringPart& part : all) {
    if (used.count(part) > 0 || !last_has_its_own(config, part.first, n_layer)) continue;
    const char* letter = part.first == Expr::kAttention ? "A"
                         : part.first == Expr::kMlp     ? "M"
                                                        : "N";
    untrained.push_back(part.second == 0 ? letter : fmt::format("{}[{}]", letter, part.second));
  }
  if (untrained.empty()) return {};
  return {fmt::format(
      "wiring = {} calls {} for y alone, which nobody reads after the last layer: that "
      "layer's {} not trained",
      in_quotes(config.wiring), join(untrained, ", "), untrained.size() == 1 ? "is" : "are")};
}

}  // namespace fathom
