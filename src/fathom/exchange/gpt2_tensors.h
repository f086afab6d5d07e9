// The tensors of a GPT-2 under Hugging Face's names and under ours.
//
//   transformer.wte.weight              token_table.0.weight     (V, C)
//   transformer.wpe.weight              position_table.weight    (T, C)
//   transformer.h.3.ln_1, ln_2          norm_in.3, norm_mid.3    (C)
//   transformer.h.3.attn.c_attn         attention.3.qkv          (C, 3C)   ours (3C, C)
//   transformer.h.3.attn.c_proj         attention.3.out          (C, C)    ours its transpose
//   transformer.h.3.mlp.c_fc, c_proj    mlp.3.up, down           (C, 4C), (4C, C), and so here
//   transformer.ln_f                    norm_out.0               (C)
//   lm_head.weight                      head.0.weight            (V, C), of an untied head alone
//
// The prefix may be missing. The buffers attn.bias and attn.masked_bias are passed over, and so is
// the head of a tied model if it is the token table.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fathom/io/safetensors.h"
#include "fathom/model/spec/backbone_config.h"

namespace fathom {

struct Gpt2Tensor {
  std::string ours, theirs;    // names; theirs with the prefix
  std::vector<int64_t> shape;  // ours
  bool transposed = false;
  bool is_bias = false;
};

// Of a plain model of these settings, in the order of its parameter table.
std::vector<Gpt2Tensor> gpt2_tensors(const BackboneConfig& backbone, int64_t vocab_size);

// Makes our tensors, float32, from a file of theirs (F32, F16 or BF16). backbone.bias becomes what
// the file has: zeros that stand for no biases (gpt2_config.h) are left out. Throws Error for a
// tensor that is missing, surplus, or of another shape or type, by name.
std::vector<TensorMaker> tensors_from_hugging_face(std::shared_ptr<const SafetensorsFile> file,
                                                   const std::string& path,
                                                   BackboneConfig& backbone);

// Makes theirs from a checkpoint's file, which must have ours. Biases that the model does not have
// are zeros.
std::vector<TensorMaker> tensors_for_hugging_face(std::shared_ptr<const SafetensorsFile> file,
                                                  const std::string& path,
                                                  const BackboneConfig& backbone,
                                                  int64_t vocab_size);

}  // namespace fathom
