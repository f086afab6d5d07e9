# The full model: GPT-2's size, with a DAG where dag_depth says so.
# `fathom train dag config/train_default.py --dag_depth=4`
dataset = 'openwebtext'
vocab_size = 50304
batch_size = 12
block_size = 1024
gradient_accumulation_steps = 40

# model
n_layer = 12
n_head = 12
n_embd = 768
dropout = 0.0
bias = False

# program; 0 is the plain model
dag_depth = 0
gumbel_temperature = 2.0
softmax_temperature = 20.0
freeze_gpt = False

# optimiser
learning_rate = 6e-4
min_lr = 6e-5
warmup_iters = 2000
lr_decay_iters = 600000
max_iters = 600000
weight_decay = 1e-1
beta1 = 0.9
beta2 = 0.95
grad_clip = 1.0

# evaluation
eval_interval = 2000
eval_iters = 200
log_interval = 10
wandb_log = False
