#include "fathom/train/together.h"

#include <ATen/Version.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/xxh3_stream.h"
#include "fathom/io/json_text.h"
#include "fathom/kernels/isa.h"

namespace fathom {
namespace {

constexpr int64_t kSentAtOnce = 8 << 20;  // numbers

std::string hash_of_program() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  std::vector<char> part(1 << 20);
  Xxh3 hash;
  while (file.read(part.data(), static_cast<std::streamsize>(part.size())) || file.gcount() > 0)
    hash.add(part.data(), static_cast<size_t>(file.gcount()));
  return fmt::format("{:016x}", hash.value());
}

// "AVX2", of libtorch's own report.
std::string libtorch_instructions() {
  constexpr std::string_view kBegin = "CPU capability usage: ";
  const std::string report = at::show_config();
  const size_t at = report.find(kBegin);
  if (at == std::string::npos) return "unknown";
  const size_t from = at + kBegin.size();
  return report.substr(from, report.find('\n', from) - from);
}

std::string packed(const nlohmann::json& json) {
  const std::vector<uint8_t> bytes = nlohmann::json::to_cbor(json);
  return {bytes.begin(), bytes.end()};
}

// The tensors of one owner, as many at a time as are sent at once.
void send_from(Ranks& ranks, int owner, const std::vector<Tensor>& tensors) {
  for (size_t first = 0; first < tensors.size();) {
    int64_t numbers = 0;
    size_t end = first;
    while (end < tensors.size() && (end == first || numbers + tensors[end].numel() <= kSentAtOnce))
      numbers += tensors[end++].numel();
    const Tensor flat = at::empty({numbers}, at::TensorOptions(tensors[first].scalar_type()));
    const auto each = [&](const auto& call) {
      int64_t at = 0;
      for (size_t i = first; i < end; ++i) {
        const Tensor place = flat.narrow(0, at, tensors[i].numel()).view(tensors[i].sizes());
        call(tensors[i], place);
        at += tensors[i].numel();
      }
    };
    if (ranks.rank() == owner)
      each([](const Tensor& tensor, const Tensor& place) { place.copy_(tensor); });
    ranks.broadcast(flat, owner);
    if (ranks.rank() != owner)
      each([](const Tensor& tensor, const Tensor& place) { tensor.copy_(place); });
    first = end;
  }
}

}  // namespace

Agreement agreement_of(const RunPlan& plan, const RankSettings& settings) {
  Agreement agreement = {
      {"the version of fathom", FATHOM_VERSION},
      {"the program's file, as XXH3", hash_of_program()},
      {"the instruction set of fathom's kernels (FATHOM_ISA)",
       plain_is_asked() ? "none" : isa_name(chosen_isa())},
      {"the instruction set of libtorch's kernels (ATEN_CPU_CAPABILITY)", libtorch_instructions()},
      {"the number of stages", std::to_string(plan.stages.size())},
  };
  const auto add = [&](const FieldList& list, const std::string& of) {
    for (const Field& field : list.all())
      agreement.emplace_back(field.name() + of, json_text(field.value()));
  };
  RankSettings shared = settings;
  FieldList ranks;
  add_fields(ranks, shared);
  add(ranks, "");
  for (const StageRun& stage : plan.stages) {
    RunConfig config = stage.config;
    FieldList list;
    add_fields(list, config);
    add(list, stage.name.empty() ? "" : " of stage " + stage.name);
  }
  return agreement;
}

std::string hash_of(const ParameterSet& parameters) {
  Xxh3 hash;
  for (const Parameter& p : parameters.all()) {
    const Tensor values = p.tensor.detach().to(at::kCPU).contiguous();
    hash.add(values.data_ptr(), values.nbytes());
  }
  return fmt::format("{:016x}", hash.value());
}

void require_alike(Ranks& ranks, const Agreement& own) {
  if (ranks.is_alone()) return;
  const std::vector<std::string> all = ranks.gather(packed(own));
  const auto first = nlohmann::json::from_cbor(all[0]).get<Agreement>();
  for (size_t r = 1; r < all.size(); ++r) {
    const auto theirs = nlohmann::json::from_cbor(all[r]).get<Agreement>();
    for (size_t i = 0; i < first.size(); ++i) {
      const auto& [name, value] = first[i];
      if (i < theirs.size() && theirs[i] == first[i]) continue;
      const bool has_it = i < theirs.size() && theirs[i].first == name;
      misuse(fmt::format("rank {} would train another run than rank 0: {} is {} there, and {} here",
                         r, name, has_it ? theirs[i].second : "not told", value),
             "all ranks are started with the same command, program and data, on processors of one "
             "kind");
    }
  }
}

void sum_over(Ranks& ranks, StepSums& sums) {
  if (ranks.is_alone()) return;
  nlohmann::json own = {{"counts", sums.counts}, {"means", nlohmann::json::object()}};
  for (const auto& [name, means] : sums.means) {
    nlohmann::json& list = own["means"][name] = nlohmann::json::array();
    for (const Metric& m : means) list.push_back({m.sum, m.count});
  }
  sums = {};
  for (const std::string& bytes : ranks.gather(packed(own))) {
    const nlohmann::json theirs = nlohmann::json::from_cbor(bytes);
    for (const auto& [name, count] : theirs.at("counts").items())
      sums.counts[name] += count.get<double>();
    for (const auto& [name, list] : theirs.at("means").items()) {
      std::vector<Metric>& means = sums.means[name];
      means.resize(list.size());
      for (size_t k = 0; k < list.size(); ++k)
        means[k] += {list[k].at(0).get<double>(), list[k].at(1).get<double>()};
    }
  }
}

void send_weights(Ranks& ranks, const Optimizer& optimizer) {
  const at::NoGradGuard no_grad;
  for (int owner = 0; owner < ranks.size(); ++owner) {
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < optimizer.state().size(); ++i)
      if (optimizer.owner(i) == owner && optimizer.parameter(i).requires_grad())
        tensors.push_back(optimizer.parameter(i));
    send_from(ranks, owner, tensors);
  }
}

std::vector<Optimizer::State> whole_state(Ranks& ranks, const Optimizer& optimizer) {
  const at::NoGradGuard no_grad;
  std::vector<Optimizer::State> whole = optimizer.state();
  for (size_t i = 0; i < whole.size(); ++i) {
    const int owner = optimizer.owner(i);
    if (owner == 0 || whole[i].frozen) continue;
    for (Tensor& tensor : whole[i].tensors) {
      const bool is_here = ranks.rank() == owner;
      Tensor there = is_here ? tensor.to(at::kCPU).contiguous()
                             : at::empty(tensor.sizes(), at::TensorOptions(tensor.scalar_type()));
      ranks.broadcast(there, owner);
      if (ranks.is_first()) tensor = there;
    }
  }
  return whole;
}

}  // namespace fathom
