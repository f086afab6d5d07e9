#include "fathom/parallel/ranks.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/parallel/group.h"

namespace fathom {
namespace {

// So many bytes travel with their length, in one call; longer ones in a second.
constexpr int64_t kShort = 2048, kLength = sizeof(int64_t);

Tensor bytes_of(const std::string& text, int64_t size) {
  Tensor bytes = at::zeros({size}, at::TensorOptions(at::kByte));
  std::memcpy(bytes.data_ptr(), text.data(), std::min(text.size(), static_cast<size_t>(size)));
  return bytes;
}

std::string text_of(const Tensor& bytes, int64_t size) {
  return std::string(static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(size));
}

}  // namespace

Ranks::Ranks() = default;
Ranks::Ranks(Ranks&&) noexcept = default;
Ranks& Ranks::operator=(Ranks&&) noexcept = default;
Ranks::~Ranks() = default;

Ranks::Ranks(const Launch& launch, const RanksOptions& options)
    : rank_(launch.rank), size_(launch.size) {
  if (size_ > 1) group_ = gloo_group(launch, options);
}

bool Ranks::are_built_in() {
  return has_gloo();
}

std::string Ranks::meeting() const {
  return group_ != nullptr ? group_->meeting() : "";
}

void Ranks::sum(Tensor tensor) {
  if (group_ != nullptr) group_->sum(std::move(tensor));
}

std::map<std::string, double> Ranks::sum(const std::map<std::string, double>& numbers) {
  if (group_ == nullptr) return numbers;
  std::map<std::string, double> sums;
  const std::vector<uint8_t> own = nlohmann::json::to_cbor(nlohmann::json(numbers));
  for (const std::string& theirs : gather(std::string(own.begin(), own.end())))
    for (const auto& [name, number] :
         nlohmann::json::from_cbor(theirs).get<std::map<std::string, double>>())
      sums[name] += number;
  return sums;
}

bool Ranks::any(bool here) {
  if (group_ == nullptr) return here;
  const std::vector<std::string> all = gather(here ? "1" : "0");
  return std::find(all.begin(), all.end(), "1") != all.end();
}

std::unique_ptr<PendingSum> Ranks::start_sum(Tensor flat, Precision dtype) {
  struct Nothing : PendingSum {
    void wait() override {}
    std::optional<std::chrono::steady_clock::time_point> arrived() const override {
      return std::chrono::steady_clock::now();
    }
  };
  if (group_ == nullptr) return std::make_unique<Nothing>();
  return group_->start_sum(std::move(flat), dtype);
}

void Ranks::broadcast(Tensor tensor, int from) {
  if (group_ != nullptr && tensor.numel() > 0) group_->broadcast(std::move(tensor), from);
}

std::string Ranks::broadcast(const std::string& bytes, int from) {
  if (group_ == nullptr) return bytes;
  return gather(rank_ == from ? bytes : "")[static_cast<size_t>(from)];
}

double Ranks::broadcast(double number, int from) {
  if (group_ == nullptr) return number;
  std::string bytes(sizeof number, '\0');
  std::memcpy(bytes.data(), &number, sizeof number);
  bytes = broadcast(bytes, from);
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

std::vector<std::string> Ranks::gather(const std::string& bytes) {
  if (group_ == nullptr) return {bytes};
  const auto length = static_cast<int64_t>(bytes.size());
  std::string first(kLength, '\0');
  std::memcpy(first.data(), &length, kLength);
  const std::vector<Tensor> starts = group_->gather(bytes_of(first + bytes, kShort));
  std::vector<int64_t> lengths;
  for (const Tensor& start : starts) {
    lengths.push_back(0);
    std::memcpy(&lengths.back(), start.data_ptr(), kLength);
  }
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  const bool is_short = longest <= kShort - kLength;
  const std::vector<Tensor> whole = is_short ? starts : group_->gather(bytes_of(bytes, longest));
  std::vector<std::string> all;
  for (size_t r = 0; r < whole.size(); ++r)
    all.push_back(is_short ? text_of(whole[r], kLength + lengths[r]).substr(kLength)
                           : text_of(whole[r], lengths[r]));
  return all;
}

void Ranks::barrier() {
  any(false);
}

void Ranks::await_first() {
  if (group_ != nullptr) group_->await_first();
}

}  // namespace fathom
