#include "fathom/exchange/gpt2_config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

using nlohmann::json;

// What a key may be besides its default, for these change what the model computes.
void require_only(const json& config, const char* key, const json& value) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null() || *found == value) return;
  fail(fmt::format("{} = {} is not what fathom's GPT-2 does ({})", key, shown_json(*found),
                   shown_json(value)),
       "import takes models that compute what GPT-2 does");
}

const json& member(const json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null())
    fail(fmt::format("{} is missing", key), "take the config.json that came with the weights");
  return *found;
}

std::string activation_of(const json& config) {
  const auto found = config.find("activation_function");
  if (found == config.end()) return "gelu_tanh";
  // Three spellings of one formula.
  for (const char* name : {"gelu_new", "gelu_pytorch_tanh", "gelu_fast"})
    if (*found == name) return "gelu_tanh";
  if (*found == "gelu") return "gelu";
  fail(fmt::format("activation_function = {} is not one that fathom's GPT-2 has",
                   shown_json(*found)),
       "allowed: gelu_new (also gelu_pytorch_tanh and gelu_fast), gelu");
}

int64_t positions_of(const json& config) {
  const bool has_both = config.contains("n_positions") && config.contains("n_ctx");
  if (has_both && config["n_positions"] != config["n_ctx"])
    fail(fmt::format("n_positions = {} and n_ctx = {} differ", shown_json(config["n_positions"]),
                     shown_json(config["n_ctx"])),
         "both are the longest context");
  const json& value = member(config, config.contains("n_positions") ? "n_positions" : "n_ctx");
  if (!value.is_number_integer()) fail("n_positions is not a whole number");
  return value.is_number_unsigned() && value > INT64_MAX ? INT64_MAX : value.get<int64_t>();
}

// One number for all three where they agree.
void set_dropouts(const json& config, FieldList& list, const std::string& name) {
  const auto rate = [&](const char* key) { return config.value(key, json(0.1)); };
  const json attention = rate("attn_pdrop"), residual = rate("resid_pdrop"),
             embedding = rate("embd_pdrop");
  if (attention == residual && residual == embedding) return list.set("dropout", attention, name);
  list.set("attn_dropout", attention, name);
  list.set("residual_dropout", residual, name);
  list.set("embed_dropout", embedding, name);
}

Gpt2Config config_from_json(const json& j, const std::string& name) {
  if (!j.is_object()) fail("it is not a JSON object", "take the config.json of a GPT-2");
  if (member(j, "model_type") != "gpt2")
    fail(fmt::format("model_type = {} is not gpt2, the one kind of model that is imported",
                     shown_json(j["model_type"])));
  Gpt2Config config;
  FieldList list;
  add_fields(list, config.backbone);
  for (const char* key : {"n_layer", "n_head", "n_embd", "vocab_size"})
    list.set(key, member(j, key), name);
  list.set("block_size", positions_of(j), name);
  list.set("norm_eps", j.value("layer_norm_epsilon", json(1e-5)), name);
  list.set("activation", activation_of(j), name);
  list.set("tie_head", j.value("tie_word_embeddings", json(true)), name);
  list.set("bias", j.value("fathom_bias", json(true)), name);
  set_dropouts(j, list, name);
  require_only(j, "n_inner", 4 * config.backbone.n_embd);
  require_only(j, "scale_attn_weights", true);
  require_only(j, "scale_attn_by_inverse_layer_idx", false);
  require_only(j, "add_cross_attention", false);
  require_only(j, "quantization_config", nullptr);
  validate(config.backbone);
  return config;
}

}  // namespace

Gpt2Config read_gpt2_config(std::string_view text, const std::string& name) {
  const json j = parse_json(text, name);
  try {
    return config_from_json(j, name);
  } catch (const Error& e) {
    const std::string what = e.what();
    fail(what.rfind(name, 0) == 0 ? what : fmt::format("{}: {}", name, what), e.hint());
  }
}

std::string gpt2_config_text(const BackboneConfig& b, int64_t vocab_size,
                             std::optional<int64_t> end_of_text) {
  json config = {{"architectures", {"GPT2LMHeadModel"}},
                 {"model_type", "gpt2"},
                 {"activation_function", b.activation == Activation::kGelu ? "gelu" : "gelu_new"},
                 {"attn_pdrop", b.attn_dropout.value_or(b.dropout)},
                 {"resid_pdrop", b.residual_dropout.value_or(b.dropout)},
                 {"embd_pdrop", b.embed_dropout.value_or(b.dropout)},
                 {"initializer_range", 0.02},
                 {"layer_norm_epsilon", b.norm_eps},
                 {"n_ctx", b.block_size},
                 {"n_embd", b.n_embd},
                 {"n_head", b.n_head},
                 {"n_inner", nullptr},
                 {"n_layer", b.n_layer},
                 {"n_positions", b.block_size},
                 {"reorder_and_upcast_attn", false},
                 {"scale_attn_by_inverse_layer_idx", false},
                 {"scale_attn_weights", true},
                 {"tie_word_embeddings", b.tie_head},
                 {"torch_dtype", "float32"},
                 {"use_cache", true},
                 {"vocab_size", vocab_size}};
  config["bos_token_id"] = end_of_text ? json(*end_of_text) : json();
  config["eos_token_id"] = config["bos_token_id"];
  if (!b.bias) config["fathom_bias"] = false;
  return json_text(config, 2) + "\n";
}

}  // namespace fathom
