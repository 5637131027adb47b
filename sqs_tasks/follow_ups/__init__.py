"""Jobs that are sent when another is over: ``task.options(then=notify.bake(order))``."""
