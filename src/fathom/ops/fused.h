// The operations of ops.h over our kernels: single precision, on the processor. Internal to ops/.
#pragma once

#include "fathom/kernels/attention_form.h"
#include "fathom/ops/ops.h"
#include "fathom/ops/tensor_pool.h"

namespace fathom::fused {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);
Tensor rms_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);
Tensor mlp(const Tensor& x, const MlpWeights& weights, GeluForm form);
// Widths of keys and values. Whether queries are strict is the mask's to say.
bool attention_fits(int64_t C, int64_t C_of_values, int64_t n_head, const AttentionForm& form = {});
Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKC, int64_t n_head,
                 const AttentionMask& mask, const std::shared_ptr<const WeightDropout>& dropout,
                 const AttentionForm& form = {});
Tensor attention(const Tensor& qkv_BTC, int64_t n_head, const AttentionMask& mask,
                 const std::shared_ptr<const WeightDropout>& dropout);
Tensor attention_of_rows(const Tensor& rows_RC, const KeptKeys& kept, int64_t n_head,
                         const AttentionForm& form = {});
Tensor plus(const Tensor& a, const Tensor& b);
Tensor apply_dropout(const Tensor& x_RC, const std::shared_ptr<const RowDropout>& draws);
Tensor embed(const Tensor& x_RC, const Tensor& table, const Tensor& ids_R);
Reading readout(const Tensor& n_RC, const Tensor& head, const Tensor& bias,
                const ReadoutRequest& request);

// ---- what their files share ----

// What a kernel can read. Whether it is to, has_kernels() of the first operand has said.
inline bool has_floats(const Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat;
}
// data_ptr<float>() without a call into libtorch, of which a decoded token makes hundreds.
inline float* floats(const Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kFloat, "numbers of ", x.scalar_type(),
              " for a kernel of floats");
  return static_cast<float*>(x.data_ptr());
}

// Rows of (..., C) one behind the other, as a matrix.
struct RowsOf {
  explicit RowsOf(const Tensor& x);
  Tensor tensor;  // keeps the memory
  float* data;
  int64_t rows, columns;
};

// Throws c10::Error, as libtorch's own operations do, for shapes that do not fit; the kernels would
// read beyond them.
void check_linear(const Tensor& x, const Tensor& weight, const Tensor& bias);
void check_linear(int64_t columns, const Tensor& weight, const Tensor& bias);
void check_vector(const Tensor& x, int64_t size);  // undefined is fine

// One behind the other; none for an undefined one.
inline c10::optional<Tensor> maybe(const Tensor& t) {
  return t.defined() ? c10::optional<Tensor>(t.contiguous()) : c10::nullopt;
}
const float* data_or_null(const c10::optional<Tensor>& t);

// Which inputs of a function want a gradient, to be kept in its context as a number.
class Wanted {
 public:
  Wanted(std::initializer_list<c10::optional<Tensor>> inputs) {
    int64_t bit = 1;
    for (const auto& t : inputs) {
      if (t.has_value() && t->defined() && t->requires_grad()) bits_ |= bit;
      bit *= 2;
    }
  }
  explicit Wanted(int64_t bits) : bits_(bits) {}
  int64_t bits() const { return bits_; }
  bool any() const { return bits_ != 0; }
  bool operator[](int input) const { return (bits_ >> input & 1) != 0; }

 private:
  int64_t bits_ = 0;
};

}  // namespace fathom::fused
