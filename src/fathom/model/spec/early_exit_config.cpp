#include "fathom/model/spec/early_exit_config.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/policy.h"

namespace fathom {
namespace {

void check_length(const char* key, const IntList& list, int64_t n_layer) {
  if (static_cast<int64_t>(list.size()) != n_layer)
    misuse(fmt::format("{} = [{}] has {}, n_layer = {} needs {}", key, shown_list(list),
                       counted(static_cast<int64_t>(list.size()), "entry", "entries"), n_layer,
                       n_layer),
           fmt::format("give one per layer, or {}=None", key));
}

void check_widths(const IntList& widths, const BackboneConfig& b) {
  check_length("layer_widths", widths, b.n_layer);
  const std::string shown = fmt::format("layer_widths = [{}]", shown_list(widths));
  for (size_t i = 0; i < widths.size(); ++i) {
    if (widths[i] % b.n_head != 0)
      misuse(fmt::format("{}: {} is not divisible by n_head = {}", shown, widths[i], b.n_head),
             fmt::format("{} would fit", (widths[i] / b.n_head + 1) * b.n_head));
    if (i > 0 && widths[i] < widths[i - 1])
      misuse(fmt::format("{} narrows from {} to {}", shown, widths[i - 1], widths[i]),
             "widths may only grow: a narrower layer would lose channels");
  }
  if (widths.back() != b.n_embd)
    misuse(fmt::format("{} ends with {}, n_embd = {}", shown, widths.back(), b.n_embd),
           "the last width is n_embd");
}

}  // namespace

void add_fields(FieldList& list, EarlyExitConfig& c) {
  list.section("early_exit");
  list.add("layer_tables", c.layer_tables, "a token table per layer, read at the layer's door")
      .shapes_weights();
  list.add("layer_heads", c.layer_heads, "a head and a last norm per layer").shapes_weights();
  list.add("layer_widths", c.layer_widths,
           "width of each layer, growing up to n_embd; None: n_embd everywhere")
      .at_least(1)
      .at_most(1 << 20)
      .shapes_weights();
  list.add<GateMode>("gate_mode", c.gate_mode,
                     "how a layer's table meets the stream; none: added, learned: g * table + "
                     "(1 - g) * stream",
                     {{"none", GateMode::kNone}, {"learned", GateMode::kLearned}})
      .shapes_weights();
  list.add("layer_contexts", c.layer_contexts,
           "positions before itself that a query sees, per layer; None: all")
      .at_least(0)
      .at_most(1 << 24)
      .shapes_weights();
  list.add("detach_between_layers", c.detach_between_layers,
           "cut the gradient between layers: each learns from its own loss");
}

void validate(const EarlyExitConfig& c, const BackboneConfig& b) {
  if (!c.layer_widths.empty()) check_widths(c.layer_widths, b);
  if (!c.layer_contexts.empty()) {
    check_length("layer_contexts", c.layer_contexts, b.n_layer);
    for (const int64_t context : c.layer_contexts)
      if (context > b.block_size)
        misuse(fmt::format("layer_contexts = [{}]: {} is more than block_size = {}",
                           shown_list(c.layer_contexts), context, b.block_size),
               "a query cannot see more positions than the block has");
  }
  if (c.gate_mode == GateMode::kLearned && !c.layer_tables)
    misuse(
        "gate_mode = learned needs layer_tables = true: without them no table is read at a "
        "layer's door",
        "add --layer_tables=true, or --gate_mode=none");
}

void apply(const EarlyExitConfig& section, DepthPlan& plan, Policy&) {
  int64_t before = section.layer_widths.empty() ? plan.stem.width : section.layer_widths.front();
  plan.stem.width = before;
  size_t i = 0;  // of the layer
  each_layer(plan, [&](LayerSpec& layer) {
    layer.width_in = before;
    if (!section.layer_widths.empty()) layer.width = section.layer_widths[i];
    before = layer.width;
    if (i > 0 && section.gate_mode == GateMode::kLearned)
      layer.door.push_back({Injection::kGate, layer.number});
    if (layer.width > layer.width_in) layer.door.push_back({Injection::kWiden});
    if (i > 0 && section.layer_tables) layer.door.push_back({Injection::kTokenTable, layer.number});
    layer.cut = i > 0 && section.detach_between_layers;
    if (!section.layer_contexts.empty()) layer.context = section.layer_contexts[i];
    if (layer.readout && section.layer_heads) {
      layer.readout->head = layer.number;
      layer.readout->norm = {NormId::kOut, layer.number};
    }
    ++i;
  });
}

}  // namespace fathom
