// Sizes as programs read them.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/report/render.h"
#include "fathom/study/sizes/size_facts.h"

namespace fathom {
namespace {

using nlohmann::json;

const char* infinity(double value) {
  return value > 0 ? "Infinity" : "-Infinity";
}

json size_number(double value) {
  if (std::isinf(value)) return infinity(value);
  return std::isnan(value) ? json(nullptr) : json(value);
}

json size_json(const Size& size) {
  return {{"rms", size_number(size.rms)},
          {"sd", size_number(size.sd)},
          {"largest", size_number(size.largest)}};
}

json histogram_json(const Histogram& h) {
  return {{"low", h.low},     {"high", h.high},   {"counts", h.counts},
          {"below", h.below}, {"above", h.above}, {"undefined", h.undefined}};
}

struct StepNumber {
  const char* name;
  double StepSizes::*value;
};
constexpr StepNumber kStepNumbers[] = {{"cosine", &StepSizes::cosine},
                                       {"lost_float32", &StepSizes::lost_float32},
                                       {"lost_bfloat16", &StepSizes::lost_bfloat16},
                                       {"effective_rank", &StepSizes::effective_rank},
                                       {"cross_entropy", &StepSizes::lens},
                                       {"readout_cross_entropy", &StepSizes::readout},
                                       {"gradient_norm", &StepSizes::gradient},
                                       {"attention_near_zero", &StepSizes::near_zero},
                                       {"norm_eps", &StepSizes::norm_eps},
                                       {"read_eps", &StepSizes::read_eps}};

json step_json(const StepSizes& step) {
  json values = json::array(), histograms = json::object();
  for (const NamedSize& value : step.values) {
    json one = size_json(value.size);
    one["name"] = report::json_word(value.name);
    values.push_back(std::move(one));
  }
  for (const NamedHistogram& h : step.histograms) histograms[h.name] = histogram_json(h.histogram);
  json out = {{"name", step.name},
              {"before", size_json(step.before)},
              {"n", size_json(step.n)},
              {"after", size_json(step.after)},
              {"delta", size_json(step.delta)},
              {"values", values},
              {"histograms", histograms}};
  for (const StepNumber& number : kStepNumbers) out[number.name] = size_number(step.*number.value);
  return out;
}

json growth_json(const std::vector<double>& sizes) {
  const Growth growth = growth_of(sizes);
  json by_depth = json::array(), ratios = json::array();
  for (const double size : sizes) by_depth.push_back(size_number(size));
  for (size_t i = 1; i < sizes.size(); ++i) ratios.push_back(size_number(sizes[i] / sizes[i - 1]));
  return {{"verdict", name_of(growth.kind)},
          {"rms", by_depth},
          {"ratios", ratios},
          {"slope", size_number(growth.slope)},
          {"r2_linear", size_number(growth.r2_linear)},
          {"ratio", size_number(growth.ratio)},
          {"r2_geometric", size_number(growth.r2_geometric)},
          {"late_ratio", size_number(growth.late_ratio)}};
}

// Nothing for what is not a number.
std::string csv_number(double value) {
  if (std::isinf(value)) return std::string(",") + infinity(value);
  return std::isnan(value) ? std::string(",") : fmt::format(",{}", value);
}

}  // namespace

double effective_rank(const std::vector<double>& singular_values) {
  double sum = 0;
  for (const double s : singular_values) sum += s;
  if (!std::isfinite(sum)) return kUnknownSize;
  if (sum <= 0) return 0;
  double entropy = 0;
  for (const double s : singular_values)
    if (s > 0) entropy -= s / sum * std::log(s / sum);
  return std::exp(entropy);
}

std::vector<double> sizes_by_depth(const SizeFacts& facts) {
  std::vector<double> sizes;
  if (!facts.steps.empty()) sizes.push_back(facts.steps.front().before.rms);
  for (const StepSizes& step : facts.steps) sizes.push_back(step.after.rms);
  return sizes;
}

json size_numbers(const SizeFacts& facts) {
  json steps = json::array(), gradients = json::array(), alarms = json::array();
  for (const StepSizes& step : facts.steps) steps.push_back(step_json(step));
  for (const PartGradient& g : facts.gradients)
    gradients.push_back({{"name", report::json_word(g.name)},
                         {"parameters", g.parameters},
                         {"norm", size_number(g.norm)}});
  for (const Alarm& alarm : alarms_of(facts))
    alarms.push_back({{"kind", alarm.kind}, {"text", alarm.text}});
  return {{"run", report::json_word(facts.run)},
          {"source", report::json_word(facts.source)},
          {"rows", facts.rows},
          {"targets", facts.targets},
          {"ranked_rows", facts.ranked_rows},
          {"eps", facts.eps},
          {"loss", size_number(facts.loss)},
          {"growth", growth_json(sizes_by_depth(facts))},
          {"alarms", alarms},
          {"steps", steps},
          {"part_gradients", gradients}};
}

std::string sizes_csv(const SizeFacts& facts) {
  std::string out = "step,value,rms,sd,largest", nothing;
  for (const StepNumber& number : kStepNumbers) {
    out += fmt::format(",{}", number.name);
    nothing += ',';
  }
  out += '\n', nothing += '\n';
  for (const StepSizes& step : facts.steps) {
    const auto add = [&](const std::string& name, const Size& size) {
      out += fmt::format("{},{}{}{}{}", step.name, name, csv_number(size.rms), csv_number(size.sd),
                         csv_number(size.largest));
    };
    add("before", step.before), out += nothing;
    add("n", step.n), out += nothing;
    for (const NamedSize& value : step.values) add(value.name, value.size), out += nothing;
    add("delta", step.delta), out += nothing;
    add("after", step.after);
    for (const StepNumber& number : kStepNumbers) out += csv_number(step.*number.value);
    out += '\n';
  }
  return out;
}

}  // namespace fathom
