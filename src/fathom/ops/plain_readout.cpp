#include "fathom/ops/plain.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/max.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

namespace fathom::plain {
namespace {

// ln p of the ids from all log probabilities; 0 for id -1.
Tensor pick(const Tensor& ln_p_RV, const Tensor& ids_R) {
  const Tensor picked = ln_p_RV.gather(1, ids_R.clamp_min(0).unsqueeze(1)).squeeze(1);
  return picked.masked_fill(ids_R.lt(0), 0);
}

// Reading::weighted.
void add_weighted(Reading& reading, const Tensor& weight_R) {
  if (!weight_R.defined()) return;
  const Tensor w_R = weight_R.to(reading.ln_p_R.scalar_type());
  reading.weighted = (reading.ln_p_R * w_R).masked_fill(w_R.eq(0), 0).sum();
}

Reading read_whole(const Tensor& n_RC, const Tensor& head, const Tensor& bias,
                   const ReadoutRequest& request) {
  Reading reading;
  const Tensor logits_RV = linear(n_RC, head, bias);
  // Sums over the vocabulary stay in single precision at least.
  const Tensor wide_RV =
      logits_RV.scalar_type() == at::kDouble ? logits_RV : logits_RV.to(at::kFloat);
  const Tensor ln_p_RV = at::log_softmax(wide_RV, 1);
  if (request.ids_R.defined()) reading.ln_p_R = pick(ln_p_RV, request.ids_R);
  const auto [largest, index] = at::max(request.grad_of_max ? ln_p_RV : ln_p_RV.detach(), 1);
  reading.ln_max_R = largest;
  reading.prediction_R = index;
  if (request.confidence_temperature == 1) {
    reading.ln_max_confidence_R = largest.detach();
    if (request.ids_R.defined()) reading.ln_p_confidence_R = reading.ln_p_R.detach();
    return reading;
  }
  const Tensor tempered_RV = at::log_softmax(wide_RV.detach() / request.confidence_temperature, 1);
  reading.ln_max_confidence_R = std::get<0>(at::max(tempered_RV, 1));
  if (request.ids_R.defined()) reading.ln_p_confidence_R = pick(tempered_RV, request.ids_R);
  return reading;
}

// The same in one pass over chunks of the vocabulary.
class ChunkedReader {
 public:
  explicit ChunkedReader(const ReadoutRequest& request) : request_(request) {}

  void add(const Tensor& logits_Rv, int64_t first) {
    auto [largest, index] = at::max(logits_Rv, 1);
    const Tensor sum = at::logsumexp(logits_Rv, {1});
    const Tensor tempered = at::logsumexp(logits_Rv / request_.confidence_temperature, {1});
    index = index + first;
    if (request_.ids_R.defined()) {
      const Tensor inside =
          request_.ids_R.ge(first).logical_and(request_.ids_R.lt(first + logits_Rv.size(1)));
      const Tensor local = (request_.ids_R - first).clamp(0, logits_Rv.size(1) - 1);
      const Tensor asked = logits_Rv.gather(1, local.unsqueeze(1)).squeeze(1);
      if (!asked_.defined()) asked_ = at::zeros_like(asked);
      asked_ = at::where(inside, asked, asked_);
    }
    if (!largest_.defined()) {
      largest_ = largest, index_ = index, sum_ = sum, tempered_ = tempered;
      return;
    }
    const Tensor better = largest.gt(largest_);
    largest_ = at::where(better, largest, largest_);
    index_ = at::where(better, index, index_);
    sum_ = at::logaddexp(sum_, sum);
    tempered_ = at::logaddexp(tempered_, tempered);
  }

  Reading finish() const {
    Reading reading;
    const double temperature = request_.confidence_temperature;
    reading.ln_max_R = largest_ - sum_;
    reading.prediction_R = index_;
    reading.ln_max_confidence_R = largest_ / temperature - tempered_;
    if (request_.ids_R.defined()) {
      const Tensor none = request_.ids_R.lt(0);
      reading.ln_p_R = (asked_ - sum_).masked_fill(none, 0);
      reading.ln_p_confidence_R = (asked_ / temperature - tempered_).masked_fill(none, 0);
    }
    return reading;
  }

 private:
  const ReadoutRequest& request_;
  Tensor largest_, index_, sum_, tempered_, asked_;
};

}  // namespace

Reading readout(const Tensor& n_RC, const Tensor& head, const Tensor& bias,
                const ReadoutRequest& request) {
  const int64_t V = head.size(0);
  const bool graph = at::GradMode::is_enabled() && (n_RC.requires_grad() || head.requires_grad());
  Reading reading;
  if (graph || V <= kVocabularyChunk) {
    reading = read_whole(n_RC, head, bias, request);
  } else {
    ChunkedReader reader(request);
    for (int64_t first = 0; first < V; first += kVocabularyChunk) {
      const int64_t n = std::min(kVocabularyChunk, V - first);
      const Tensor part = bias.defined() ? bias.narrow(0, first, n) : Tensor();
      const Tensor logits = linear(n_RC, head.narrow(0, first, n), part);
      reader.add(logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat), first);
    }
    reading = reader.finish();
  }
  add_weighted(reading, request.weight_R);
  return reading;
}

}  // namespace fathom::plain
